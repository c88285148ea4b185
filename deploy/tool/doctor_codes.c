/*
 * Everything that the doctor can say is wrong. README.md has the same codes,
 * by symptom.
 */
#include "deploy/tool/doctor.h"

#define RESTART "sudo systemctl restart 'agora-agent@*.service'"
#define EDIT                                                                   \
	"sudoedit /etc/agora-agent/env (on a shared host edit "                \
	"~/.config/agora-agent/env)"
#define ERROR_LOG                                                              \
	"look into the web server's error log: sudo tail "                     \
	"/var/log/nginx/error.log /var/log/apache2/*error.log"

const struct doctor_code_text doctor_codes[DOCTOR_CODES] = {
	/* Settings and agents. */
	[DOCTOR_SETTINGS_MISSING] = { "settings-missing", false,
	    "A required setting is nowhere to be found.",
	    EDIT " and set {}; NAME.fcgi --check lists where it may stand" },
	[DOCTOR_SETTINGS_UNREADABLE] = { "settings-unreadable", false,
	    "The settings file is there, but is of no use. Another one is not "
	    "looked for: it could be somebody else's.",
	    "ls -lL {}" },
	[DOCTOR_SETTINGS_MODE] = { "settings-mode", false,
	    "Everybody on this machine can read or change the settings, so the "
	    "programs refuse them.",
	    "chmod 600 {}" },
	[DOCTOR_SETTINGS_FOLDER] = { "settings-folder", false,
	    "Everybody on this machine can put another file in this one's "
	    "place, so the programs refuse it.",
	    "namei -l {} shows the folder that others can write to: chmod o-w "
	    "it" },
	[DOCTOR_SETTINGS_OWNER] = { "settings-owner", false,
	    "The settings belong to somebody who is neither root nor runs the "
	    "programs, so these refuse them.",
	    "sudo chown -h root {}; if they run as a user of their own, run "
	    "this as that user" },
	[DOCTOR_SETTINGS_GROUP] = { "settings-group", true,
	    "A whole group can change the settings.", "chmod g-w {}" },
	[DOCTOR_SETTINGS_WEBROOT] = { "settings-webroot", false,
	    "The settings lie in a folder that web servers publish.",
	    "mkdir -p ~/.config/agora-agent && mv {} "
	    "~/.config/agora-agent/env" },
	[DOCTOR_SETTINGS_LINE] = { "settings-line", true,
	    "A line of the settings file is not understood, and skipped.",
	    "edit {}: NAME=value, in quotes if there are spaces in it" },
	[DOCTOR_SETTINGS_VALUE] = { "settings-value", false,
	    "A setting has a value that it cannot have.",
	    EDIT " and correct {}" },
	[DOCTOR_SETTINGS_TWICE] = { "settings-twice", true,
	    "A setting stands there under both of its names, with two values.",
	    EDIT " and remove one of the two" },
	[DOCTOR_APP_ID_SHAPE] = { "app-id-shape", false,
	    "This is no app id of Agora: those have 32 hex digits.",
	    "copy it from https://console.agora.io; " EDIT " and set {}" },
	[DOCTOR_CERTIFICATE_SHAPE] = { "certificate-shape", false,
	    "This is no app certificate of Agora: those have 32 hex digits, "
	    "other ones than the app id.",
	    "copy the primary certificate from https://console.agora.io; " EDIT
	    " and set {}" },
	[DOCTOR_AGENT_FILE] = { "agent-file", false,
	    "An agent file cannot be used; starts of its agent are answered "
	    "with 500.",
	    "start_agent.fcgi --check says all that is wrong with it, by line "
	    "and column" },

	/* Programs. */
	[DOCTOR_PROGRAM_MISSING] = { "program-missing", false,
	    "The program is not where it was looked for.",
	    "sudo make install (on a shared host upload {} again); --programs "
	    "FOLDER names another folder" },
	[DOCTOR_PROGRAM_MODE] = { "program-mode", false,
	    "This mode keeps the programs from being run. (suexec runs nothing "
	    "that a group can write to, nor what is in such a folder.)",
	    "chmod 755 {}" },
	[DOCTOR_PROGRAM_LIBRARY] = { "program-library", false,
	    "This machine lacks a library that the program was built with, or "
	    "has another version of it.",
	    "ldd {}; then install the library, or build on this machine" },
	[DOCTOR_PROGRAM_CGI] = { "program-cgi", false,
	    "Run as a CGI program with nothing in its environment, it does not "
	    "answer as it should: damaged by an upload that was not binary, "
	    "built for other machines, or not ours.",
	    "{} --version; then build or upload it again" },

	/* Sockets. */
	[DOCTOR_SOCKET_MISSING] = { "socket-missing", false,
	    "There is no socket (the web server's log says 2: No such file): "
	    "nobody made it yet, or its file was deleted.",
	    "sudo systemctl stop agora-agent.target; sudo systemctl enable "
	    "--now agora-agent.target" },
	[DOCTOR_SOCKET_REFUSED] = { "socket-refused", false,
	    "Nobody listens on the socket (the web server's log says 111: "
	    "Connection refused): who made it has ended.",
	    "sudo systemctl restart agora-agent@{name}.socket" },
	[DOCTOR_SOCKET_PERMISSION] = { "socket-permission", false,
	    "The web server may not use the socket (its log says 13: "
	    "Permission denied).",
	    "set SocketGroup= in agora-agent@.socket to the web server's "
	    "group, then sudo systemctl daemon-reload && sudo systemctl "
	    "restart agora-agent@{name}.socket (never chmod 777)" },
	[DOCTOR_SOCKET_BUSY] = { "socket-busy", false,
	    "More requests wait at the socket than it takes (the web server's "
	    "log says 11: Resource temporarily unavailable): the program hangs "
	    "or is stopped.",
	    "sudo systemctl restart agora-agent@{name}.service" },
	[DOCTOR_SOCKET_MODE] = { "socket-mode", false,
	    "Everybody on this machine can send requests, past the web "
	    "server's limits.",
	    "sudo chmod o-rwx {}; SocketMode=0660 keeps it so" },
	[DOCTOR_SOCKET_SILENT] = { "socket-silent", false,
	    "The socket takes a request, but no answer comes.",
	    "sudo journalctl -u agora-agent@{name}.service; sudo systemctl "
	    "restart agora-agent@{name}.service" },
	[DOCTOR_SOCKET_ANSWER] = { "socket-answer", false,
	    "What answers on the socket is not one of the programs. (fcgiwrap "
	    "is for CGI programs: let fastcgi_pass name our socket.)",
	    "sudo ss -xlp src {}" },
	[DOCTOR_SERVICE_UNCONFIGURED] = { "service-unconfigured", false,
	    "The program that runs has no usable settings, unlike the doctor: "
	    "it read others, or these before they were mended.",
	    RESTART "; sudo journalctl -u agora-agent@{name}.service" },

	/* Agora, and the way there. */
	[DOCTOR_DNS] = { "dns", false,
	    "None of Agora's host names can be looked up.",
	    "getent hosts {}; cat /etc/resolv.conf" },
	[DOCTOR_DNS_PARTLY] = { "dns-partly", true,
	    "One of Agora's host names cannot be looked up. The others stand "
	    "in for it.",
	    "getent hosts {}" },
	[DOCTOR_CA_BUNDLE] = { "ca-bundle", false,
	    "Agora's certificate cannot be verified: the list of authorities "
	    "is missing or too old, the clock is wrong, or somebody sits in "
	    "between.",
	    "sudo apt install --reinstall ca-certificates; check "
	    "AGORA_CA_FILE, "
	    "if set; date" },
	[DOCTOR_AGORA_UNREACHABLE] = { "agora-unreachable", false,
	    "Agora does not answer: a firewall, or no network.",
	    "curl -sv -m 5 https://{}/" },
	[DOCTOR_CLOCK] = { "clock", false,
	    "The clock of this machine is wrong. Tokens carry its time, and "
	    "Agora refuses them.",
	    "sudo timedatectl set-ntp true; date" },
	[DOCTOR_CREDENTIALS] = { "credentials", false,
	    "Agora does not accept the app id with this certificate: they are "
	    "of two projects, or the certificate was renewed.",
	    "copy both from one project of https://console.agora.io; " EDIT },
	[DOCTOR_SERVICE_NOT_ENABLED] = { "service-not-enabled", false,
	    "App id and certificate are right, but the project may not use "
	    "Conversational AI.",
	    "enable it for this project in https://console.agora.io" },
	[DOCTOR_AREA] = { "area", false,
	    "The host knows no Conversational AI for this project below that "
	    "path.",
	    EDIT " and correct AGORA_AREA and AGORA_API_PATH "
		 "(/cn/api/conversational-ai-agent for a project of the "
		 "Chinese console), or the path in AGORA_API_BASE_URL" },
	[DOCTOR_AGORA_REFUSED] = { "agora-refused", false,
	    "Agora answers, and refuses for a reason of its own.",
	    "see the account in https://console.agora.io; if it is 429 or 5xx, "
	    "wait and try again" },

	/* The site. */
	[DOCTOR_URL_UNREACHABLE] = { "url-unreachable", false,
	    "No web server answers there.",
	    "sudo systemctl status nginx apache2; sudo ss -ltnp; curl -sv {}" },
	[DOCTOR_URL_CERTIFICATE] = { "url-certificate", false,
	    "The site's own certificate does not verify, so browsers refuse "
	    "it.",
	    "sudo certbot certificates; curl -sv {}" },
	[DOCTOR_URL_REDIRECT] = { "url-redirect", false,
	    "The web server sends callers elsewhere; a start would lose its "
	    "body on the way.",
	    "curl -si {}; use the address it leads to, here and in the page" },
	[DOCTOR_URL_DOWNLOAD] = { "url-download", false,
	    "The web server hands the program out instead of running it: no "
	    "mod_fcgid and no CGI, or Options ExecCGI is off.",
	    "put deploy/apache/htaccess beside the programs as .htaccess; ask "
	    "the host for mod_fcgid or CGI" },
	[DOCTOR_URL_MISSING] = { "url-missing", false,
	    "The web server knows no such route.",
	    "nginx: include snippets/agora-agent.conf; in the server block of "
	    "this host name. Apache: a2ensite agora-agent. Then reload it" },
	[DOCTOR_URL_DOWN] = { "url-down", false,
	    "The web server does not reach the program behind it.",
	    ERROR_LOG "; run this as root, so that it tries the sockets as "
		      "the web server's user" },
	[DOCTOR_URL_TIMEOUT] = { "url-timeout", false,
	    "No answer came in time: the web server, or who asked it, gave "
	    "up on the program.",
	    "let fastcgi_read_timeout (Apache: timeout=) be 30 s; " ERROR_LOG },
	[DOCTOR_URL_ERROR] = { "url-error", false,
	    "The web server could not run the program, or it ended without an "
	    "answer (Apache's \"End of script output before headers\").",
	    ERROR_LOG " and suexec.log; run this on the host, with --programs "
		      "naming their folder" },
	[DOCTOR_URL_UNCONFIGURED] = { "url-unconfigured", false,
	    "The program behind the site has no usable settings. What the "
	    "shell has, suexec and systemd remove; it looks for files only.",
	    "put them into ~/.config/agora-agent/env (shared host) or "
	    "/etc/agora-agent/env, readable for the user that runs the "
	    "program; " RESTART },
	[DOCTOR_URL_STATUS] = { "url-status", false,
	    "The route answers something that neither the program nor our "
	    "configuration says to this.",
	    "curl -si {}; " ERROR_LOG },
	[DOCTOR_URL_NOT_JSON] = { "url-not-json", false,
	    "The answer is not JSON; a page then says \"Unexpected token '<'\" "
	    "instead of the reason.",
	    "take the shipped configuration, whose error pages are JSON: "
	    "deploy/nginx, deploy/apache" },
	[DOCTOR_URL_CORS] = { "url-cors", false,
	    "Browsers let pages of other hosts read an answer only if it has "
	    "exactly one Access-Control-Allow-Origin, errors too, which is "
	    "theirs or *, and no Allow-Credentials with *.",
	    "list the origin, without a slash at its end, where our "
	    "configuration says EDIT HERE; remove every other add_header or "
	    "Header of that name; add \"always\"" },
	[DOCTOR_URL_CORS_NONE] = { "url-cors-none", true,
	    "No page of another host can read the answers. Those of the same "
	    "host can.",
	    "if pages of other hosts call, name one with --origin; list them "
	    "where our configuration says EDIT HERE" },
	[DOCTOR_URL_PREFLIGHT] = { "url-preflight", false,
	    "Browsers ask with OPTIONS before a page of another host may "
	    "start an agent; the answer does not allow it.",
	    "take the shipped configuration: deploy/nginx, deploy/apache; "
	    "curl -si -X OPTIONS {}" },
	[DOCTOR_ENV_EXPOSED] = { "env-exposed", false,
	    "The web server hands the settings out to everybody.",
	    "move the file to ~/.config/agora-agent/env or "
	    "/etc/agora-agent/env; then renew the certificate and every key "
	    "that stood in it, for they are known" },
	[DOCTOR_AUTHORIZATION_DROPPED] = { "authorization-dropped", false,
	    "The Authorization header does not reach the program, which is to "
	    "check it.",
	    "Apache: CGIPassAuth On, or the shipped .htaccess; then reload "
	    "it" },
};

const char *const doctor_endpoints[DOCTOR_ENDPOINTS] = { "get_config",
	"start_agent", "stop_agent" };
