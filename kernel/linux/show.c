/*
 * The only program of the reader: mounts what lies on a disk and writes down all that
 * Linux shows of it, for a test to compare with what was to be there.
 *
 * /jobs, in the initramfs, has a line for each file system: where it is, type and
 * options, "-" for none. A number is that partition of the disk, else it is a device;
 * the type "folder" is one that is there already, of that name. What is seen goes to
 * the disk that begins with "show", as text with sizes ahead of what is not text:
 *
 *     mount ERRNO                          0, or why it could not be mounted
 *     entry TYPE MODE UID GID TIME NANOSECONDS INODE LINKS MAJOR MINOR SIZE NAME XATTRS
 *     <NAME bytes: the path>
 *     xattr NAME VALUE                     XATTRS times, each followed by its bytes
 *     <SIZE bytes: the content, or where a symbolic link leads to>
 *     end
 *
 * and behind the last "done". All numbers are decimal but MODE, TYPE is its letter in
 * the listings of ls.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static FILE *out;
static char block[1 << 16], names[1 << 16];
static char path[1 << 16];
static const char *disk = "/dev/vdb";

static _Noreturn void stop(const char *what)
{
	fprintf(stderr, "show: %s: %s\n", what, strerror(errno));
	sync();
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

static void put(const void *bytes, size_t len)
{
	if (fwrite(bytes, 1, len, out) != len)
		stop("writing");
}

static char type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR: return 'd';
	case S_IFLNK: return 'l';
	case S_IFCHR: return 'c';
	case S_IFBLK: return 'b';
	case S_IFIFO: return 'p';
	case S_IFSOCK: return 's';
	default: return '-';
	}
}

static void put_content(const char *name, off_t size)
{
	int file = open(name, O_RDONLY | O_NOFOLLOW);
	if (file < 0)
		stop(path);
	while (size > 0) {
		ssize_t got = read(file, block, sizeof block);
		if (got <= 0 || got > size)
			stop(path);
		put(block, got);
		size -= got;
	}
	if (read(file, block, 1) != 0)
		stop(path);
	close(file);
}

/* An entry of the working folder, whose path ends at `len`. */
static void show(const char *name, size_t len)
{
	struct stat found;
	if (lstat(name, &found) < 0)
		stop(path);
	char type = type_of(found.st_mode);
	ssize_t listed = llistxattr(name, names, sizeof names);
	if (listed < 0 && errno != EOPNOTSUPP)
		stop(path);
	int xattrs = 0;
	for (ssize_t at = 0; at < listed; at++)
		xattrs += names[at] == 0;
	off_t size = type == '-' || type == 'l' ? found.st_size : 0;
	/* Of a symbolic link too, some file systems show no size. */
	ssize_t target = 0;
	if (type == 'l') {
		target = readlink(name, block, sizeof block);
		if (target < 0)
			stop(path);
		if (target != size)
			errno = EINVAL, stop(path);
	}
	fprintf(out, "entry %c %o %u %u %lld %ld %llu %lu %u %u %lld %zu %d\n", type,
		found.st_mode & 07777, found.st_uid, found.st_gid, (long long)found.st_mtim.tv_sec,
		found.st_mtim.tv_nsec, (unsigned long long)found.st_ino,
		(unsigned long)found.st_nlink, major(found.st_rdev), minor(found.st_rdev),
		(long long)size, len, xattrs);
	put(path, len);
	if (type == 'l')
		put(block, target);
	for (char *xattr = names; xattr < names + (listed > 0 ? listed : 0); xattr += strlen(xattr) + 1) {
		static char value[1 << 16];
		ssize_t got = lgetxattr(name, xattr, value, sizeof value);
		if (got < 0)
			stop(path);
		fprintf(out, "xattr %zu %zd\n", strlen(xattr), got);
		put(xattr, strlen(xattr));
		put(value, got);
	}
	if (type == '-')
		put_content(name, size);
	if (type != 'd')
		return;
	if (chdir(name) < 0)
		stop(path);
	DIR *folder = opendir(".");
	if (!folder)
		stop(path);
	struct dirent *entry;
	while (errno = 0, entry = readdir(folder)) {
		size_t more = strlen(entry->d_name);
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (len + 1 + more >= sizeof path)
			errno = ENAMETOOLONG, stop(path);
		path[len] = '/';
		memcpy(path + len + 1, entry->d_name, more + 1);
		show(entry->d_name, len + 1 + more);
		path[len] = 0;
	}
	if (errno)
		stop(path);
	closedir(folder);
	/* The top is left for the root, since what it lies on may be another file system. */
	if (chdir("..") < 0)
		stop(path);
}

static void job(char *line)
{
	char *device = strtok(line, " "), *type = strtok(NULL, " "), *options = strtok(NULL, " ");
	if (!device || !type || !options)
		errno = EINVAL, stop("/jobs");
	int folder = !strcmp(type, "folder");
	const char *top = folder ? device : "/seen";
	if (*device >= '0' && *device <= '9') {
		snprintf(block, sizeof block, "%s%s", disk, device);
		device = block;
	}
	if (!folder) {
		const char *given = strcmp(options, "-") ? options : NULL;
		int failed = mount(device, top, type, MS_RDONLY, given) < 0 ? errno : 0;
		fprintf(out, "mount %d\n", failed);
		if (failed)
			return;
	} else {
		fprintf(out, "mount 0\n");
	}
	path[0] = 0;
	show(top, 0);
	fprintf(out, "end\n");
	if (chdir("/") < 0 || (!folder && umount(top) < 0))
		stop(top);
}

int main(void)
{
	umask(0);
	if (mkdir("/dev", 0755) < 0 && errno != EEXIST)
		stop("/dev");
	if (mount("dev", "/dev", "devtmpfs", 0, NULL) < 0)
		stop("/dev");
	int console = open("/dev/console", O_RDWR);
	if (console >= 0) {
		dup2(console, 1);
		dup2(console, 2);
	}
	if (mkdir("/seen", 0755) < 0)
		stop("/seen");
	FILE *jobs = fopen("/jobs", "r");
	out = fopen("/dev/vda", "r+");
	if (!jobs || !out)
		stop("/jobs, /dev/vda");
	/* Disks come in the order that suits Linux. */
	if (fread(block, 1, 4, out) != 4 || memcmp(block, "show", 4)) {
		fclose(out);
		disk = "/dev/vda";
		out = fopen("/dev/vdb", "r+");
		if (!out)
			stop("/dev/vdb");
	}
	rewind(out);
	static char line[4096];
	for (int number = 1; fgets(line, sizeof line, jobs); number++) {
		line[strcspn(line, "\n")] = 0;
		printf("show: %s\n", line);
		fflush(stdout);
		job(line);
	}
	fprintf(out, "done\n");
	if (fflush(out) || fsync(fileno(out)) < 0)
		stop("writing");
	printf("show: all seen\n");
	reboot(RB_AUTOBOOT);
	return 1;
}
