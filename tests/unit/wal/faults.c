/* Makes writes and syncs of this process fail while the file named by FAULTS holds a word:
   sync: fdatasync and fsync fail with EIO
   full: writes fail with ENOSPC, but for those of the two meta pages, which are there already
   cut: writes are cut short (what a disk does while it fills up) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int wants(const char *word) {
    const char *path = getenv("FAULTS");
    char found[16] = {0};
    if (!path) return 0;
    int fd = open(path, O_RDONLY);
    if (fd < 0) return 0;
    ssize_t got = read(fd, found, sizeof found - 1);
    close(fd);
    return got > 0 && !strncmp(found, word, strlen(word));
}

static int is_store(int fd) {
    char link[64], target[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t got = readlink(link, target, sizeof target - 1);
    return got > 8 && !strncmp(target + got - 8, "data.mdb", 8);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fdatasync(int fd) {
    if (wants("sync") && is_store(fd)) { errno = EIO; return -1; }
    return REAL(fdatasync)(fd);
}

int fsync(int fd) {
    if (wants("sync") && is_store(fd)) { errno = EIO; return -1; }
    return REAL(fsync)(fd);
}

ssize_t pwrite(int fd, const void *data, size_t count, off_t at) {
    if (is_store(fd)) {
        if (at >= 8192 && wants("full")) { errno = ENOSPC; return -1; }
        if (wants("cut") && count > 1) return REAL(pwrite)(fd, data, count / 2, at);
    }
    return REAL(pwrite)(fd, data, count, at);
}
ssize_t pwrite64(int fd, const void *data, size_t count, off_t at) { return pwrite(fd, data, count, at); }

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    if (is_store(fd)) {
        if (wants("full")) { errno = ENOSPC; return -1; }
        if (wants("cut")) return REAL(pwrite)(fd, parts[0].iov_base, parts[0].iov_len / 2, at);
    }
    return REAL(pwritev)(fd, parts, count, at);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) { return pwritev(fd, parts, count, at); }
