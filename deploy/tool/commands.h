/*
 * The commands, for the table in agora_agent.c: see tool.h for what they take
 * and return.
 */
#ifndef DEPLOY_TOOL_COMMANDS_H
#define DEPLOY_TOOL_COMMANDS_H

int doctor_run(int argc, char *argv[]);
int ps_run(int argc, char *argv[]);
int stop_run(int argc, char *argv[]);
int reap_run(int argc, char *argv[]);

#endif
