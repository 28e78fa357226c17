/*
 * The first and only program of an enclave. It tells the machine that holds the
 * enclave that it has begun, as Nitro expects, and then answers on the console and
 * to whoever connects by vsock; protocol.h says what.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/nsm.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nsm.h"
#include "protocol.h"

#define RELEASE "/etc/stagex-release"
/* Where it listens. */
#define PORT 5000
/* Connections at a time, and how long one may be silent. */
#define CONNECTIONS 16
#define SILENCE 60

/*
 * What the machine that holds a Nitro enclave waits for: a connection to its port
 * 9000 by the address that it has for its enclaves, and one byte there and back.
 */
#define HOLDER 3
#define HEARTBEAT_PORT 9000
#define HEARTBEAT 0xb7
#define HEARTBEAT_SECONDS 5

static char release[4096];

static void say(const char *what)
{
	printf("enclave: %s: %s\n", what, strerror(errno));
	fflush(stdout);
}

static size_t ask(const uint8_t *request, size_t length, uint8_t *response)
{
	struct nsm_raw raw = {
		.request = { (uintptr_t)request, length },
		.response = { (uintptr_t)response, NSM_RESPONSE },
	};
	int module = open("/dev/nsm", O_RDWR | O_CLOEXEC);

	if (module < 0)
		return 0;
	int result = ioctl(module, (int)NSM_IOCTL_RAW, &raw);
	close(module);
	return result < 0 ? 0 : (size_t)raw.response.len;
}

static const struct enclave enclave = { release, ask };

static void read_release(void)
{
	FILE *file = fopen(RELEASE, "r");

	if (!file) {
		say(RELEASE);
		return;
	}
	release[fread(release, 1, sizeof release - 1, file)] = '\0';
	fclose(file);
}

static void mount_system(void)
{
	/* Both are there where the kernel mounts /dev by itself. */
	if (mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, NULL) < 0 && errno != EBUSY)
		say("/dev");
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		say("/proc");
}

static void take_console(void)
{
	int console = open("/dev/console", O_RDWR);

	for (int fd = 0; fd < 3 && console >= 0; fd++)
		dup2(console, fd);
	if (console > 2)
		close(console);
}

static _Noreturn void stop(void)
{
	sync();
	/* There is no power to switch: who holds an enclave ends it when it resets itself. */
	reboot(RB_AUTOBOOT);
	_exit(0);
}

/* Without a holder that listens, as under plain QEMU, nothing is lost. */
static void heartbeat(void)
{
	struct sockaddr_vm holder = {
		.svm_family = AF_VSOCK, .svm_cid = HOLDER, .svm_port = HEARTBEAT_PORT,
	};
	struct timeval patience = { .tv_sec = HEARTBEAT_SECONDS };
	unsigned char byte = HEARTBEAT;
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (connect(fd, (struct sockaddr *)&holder, sizeof holder) == 0 &&
	    (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1 || byte != HEARTBEAT))
		say("heartbeat");
	close(fd);
}

static void talk(int in, int out)
{
	FILE *input = fdopen(in, "r"), *output = fdopen(out, "w");

	if (input && output && converse(&enclave, input, output) == STOP)
		stop();
}

static _Noreturn void serve_connection(int fd)
{
	struct timeval patience = { .tv_sec = SILENCE };
	int out = dup(fd);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (out >= 0)
		talk(fd, out);
	_exit(0);
}

static int listen_vsock(void)
{
	struct sockaddr_vm all = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = PORT,
	};
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&all, sizeof all) < 0 || listen(fd, CONNECTIONS) < 0) {
		say("vsock");
		return -1;
	}
	return fd;
}

static _Noreturn void serve_vsock(int listener)
{
	int children = 0;

	for (;;) {
		/* Collects who has gone, and waits for one where all places are taken. */
		while (children > 0 && waitpid(-1, NULL, children < CONNECTIONS ? WNOHANG : 0) > 0)
			children--;
		int fd = accept(listener, NULL, NULL);
		if (fd < 0) {
			sleep(1);
			continue;
		}
		pid_t child = fork();
		if (child == 0)
			serve_connection(fd);
		children += child > 0;
		close(fd);
	}
}

/* Asks itself over vsock, so that what is said to be reachable has been reached. */
static int is_reachable(void)
{
	struct sockaddr_vm self = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_LOCAL, .svm_port = PORT,
	};
	struct timeval patience = { .tv_sec = HEARTBEAT_SECONDS };
	static const char question[] = "challenge abc\n";
	static const char start[] = "answer ba7816bf8f01cfea414140de5dae2223";
	char reply[sizeof start] = { 0 };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0), reached = 0;

	if (fd < 0)
		return 0;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (connect(fd, (struct sockaddr *)&self, sizeof self) == 0 &&
	    write(fd, question, sizeof question - 1) == sizeof question - 1 &&
	    recv(fd, reply, sizeof reply - 1, MSG_WAITALL) == sizeof reply - 1)
		reached = memcmp(reply, start, sizeof reply - 1) == 0;
	close(fd);
	return reached;
}

static pid_t start_vsock(int listener)
{
	pid_t child = listener < 0 ? -1 : fork();

	if (child == 0)
		serve_vsock(listener);
	return child;
}

static pid_t start_console(void)
{
	pid_t child = fork();

	if (child == 0) {
		/* A session of its own, so that the console is its terminal. */
		setsid();
		talk(0, 1);
		/* A console that is not there would keep the processor busy. */
		sleep(1);
		_exit(0);
	}
	return child;
}

int main(void)
{
	mount_system();
	take_console();
	read_release();
	int listener = listen_vsock();
	pid_t vsock = start_vsock(listener);
	heartbeat();
	if (vsock > 0 && is_reachable())
		printf("enclave: listening on vsock port %d\n", PORT);
	puts("enclave ready");
	fflush(stdout);
	pid_t console = start_console();
	for (;;) {
		pid_t gone = wait(NULL);
		if (gone < 0)
			sleep(1);
		if (gone == vsock)
			vsock = start_vsock(listener);
		if (gone == console || console < 0)
			console = start_console();
	}
}
