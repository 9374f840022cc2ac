/* The life of one FastCGI worker process. */
#ifndef PLX_FCGI_WORKER_H
#define PLX_FCGI_WORKER_H

/* Reads the configuration, serves what comes in on listen_fd (a listening socket; made
 * non-blocking, not closed) and returns the exit status: 0 after SIGTERM, SIGINT or SIGUSR1 (what
 * FastCGI programs take as a graceful stop), 1 when it could not start (logged).
 * Told to stop, it accepts nothing more, answers parked polls at once, finishes what is under way
 * and returns within four seconds; at a second signal at once. */
int plx_worker_serve(const char *config_path, int listen_fd);

#endif
