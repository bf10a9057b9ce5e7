/* Preloaded into PostgreSQL: every flush to disk takes a millisecond more, as on a slower disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static void slower(void) {
	struct timespec wait = {0, 1000000};
	nanosleep(&wait, 0);
}

int fsync(int file) {
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
	slower();
	return real(file);
}

int fdatasync(int file) {
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
	slower();
	return real(file);
}
