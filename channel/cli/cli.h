/* The `pollux` command: one function for each of its commands.
 *
 * main.c reads what comes before the command, takes --config out wherever it
 * stands, and hands the rest to the command's function: argv[0] is the command's
 * name, config_path what plx_config_path made of the option. A command reads its
 * own options (getopt_long; it starts fresh, optind is 1), prints its results as
 * JSON on stdout and its complaints on stderr, and returns the exit status.
 */
#ifndef PLX_CHANNEL_CLI_CLI_H
#define PLX_CHANNEL_CLI_CLI_H

/* Exit statuses. */
enum plx_cli_status {
    PLX_CLI_OK = 0,
    PLX_CLI_REFUSED = 1, /* understood, but it did not work or was refused */
    PLX_CLI_USAGE = 2    /* the command line itself is wrong */
};

/* Everything on one machine: private Redis, workers and web server, until SIGTERM or SIGINT.
 * config_path is NULL here when no --config was given: then the demonstration's. */
int plx_cli_dev(int argc, char **argv, const char *config_path);
/* Validates the configuration and connects to its Redis. */
int plx_cli_check(int argc, char **argv, const char *config_path);
/* publish TOPIC EVENT JSON: broadcasts and prints the position. */
int plx_cli_publish(int argc, char **argv, const char *config_path);
/* presence TOPIC: prints who is there, or how many. */
int plx_cli_presence(int argc, char **argv, const char *config_path);
/* history TOPIC: prints the messages that a topic's history holds. */
int plx_cli_history(int argc, char **argv, const char *config_path);
/* disconnect ID: ends every socket of that id and prints how many there were. */
int plx_cli_disconnect(int argc, char **argv, const char *config_path);
/* info: prints what runs. */
int plx_cli_info(int argc, char **argv, const char *config_path);
/* unsubscribe ID TOPIC: closes that channel on every socket of that id and prints how many. */
int plx_cli_unsubscribe(int argc, char **argv, const char *config_path);

/* token sign JSON, token verify TOKEN. config_path is NULL here when no --config was given: then a
 * key among the options is enough. */
int plx_cli_token(int argc, char **argv, const char *config_path);

/* Prints "pollux COMMAND: MESSAGE" and where help is found to stderr; returns PLX_CLI_USAGE. */
int plx_cli_usage_error(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
