/*
 * Where the programs are, seen from the tool.
 */
#ifndef DEPLOY_TOOL_PROGRAMS_H
#define DEPLOY_TOOL_PROGRAMS_H

/*
 * The folder ../libexec/agora-agent beside the tool's own, where make install
 * puts them; without one the tool's own, as they are built. The caller frees
 * it. NULL: out of memory, or there is no /proc.
 */
char *programs_folder(void);

#endif
