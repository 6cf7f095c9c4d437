/*
 * Records what a process asks of its data files, so that a power cut at any moment can be replayed afterwards.
 *
 * It is put in front of the C library (LD_PRELOAD) and writes one record for each write, truncation, sync, rename and removal
 * of a file below POWER_CUT_DIR to POWER_CUT_LOG, after the call has succeeded and before it returns: when a process
 * knows that something was synced, the record of that is in the log.
 *
 * Record: u32 kind, u32 path length, u64 offset, u64 data length, path, data. Kinds: 1 write, 2 truncate (offset = new size),
 * 3 sync, 4 unlink, 5 rename (data = new path), 6 create. Memory maps are not seen: SQLite maps only its shared-memory index,
 * which holds nothing that must survive.
 *
 * With POWER_CUT_NO_SYNC set it is as if nothing was ever synced (PRAGMA synchronous=OFF): what a test must notice.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -2;
static const char *root;

enum { WRITE = 1, TRUNCATE, SYNC, UNLINK, RENAME, CREATE };

static int ready(void) {
  if (log_fd == -2) {
    const char *path = getenv("POWER_CUT_LOG");
    root = getenv("POWER_CUT_DIR");
    log_fd = path && root ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
  }
  return log_fd >= 0;
}

static int is_data(const char *path) {
  size_t length = strlen(root);
  if (strncmp(path, root, length) != 0 || path[length] != '/') return 0;
  size_t end = strlen(path);
  return !(end > 4 && strcmp(path + end - 4, "-shm") == 0);
}

static int path_of(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return is_data(path);
}

static void record(uint32_t kind, const char *path, uint64_t offset, const void *data, uint64_t length) {
  struct { uint32_t kind, path_length; uint64_t offset, length; } head = { kind, (uint32_t)strlen(path), offset, length };
  struct iovec parts[3] = { { &head, sizeof head }, { (void *)path, head.path_length }, { (void *)data, (size_t)length } };
  pthread_mutex_lock(&lock);
  ssize_t written = syscall(SYS_writev, log_fd, parts, 3);
  pthread_mutex_unlock(&lock);
  if (written != (ssize_t)(sizeof head + head.path_length + length)) abort();
}

#define NEXT(name) static __typeof__(name) *next; if (!next) next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t length) {
  NEXT(write);
  char path[PATH_MAX];
  int seen = ready() && fd != log_fd && path_of(fd, path);
  off_t at = seen ? lseek(fd, 0, SEEK_CUR) : 0;
  if (seen && (fcntl(fd, F_GETFL) & O_APPEND)) at = lseek(fd, 0, SEEK_END);
  ssize_t done = next(fd, data, length);
  if (seen && done > 0) record(WRITE, path, (uint64_t)at, data, (uint64_t)done);
  return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
  NEXT(pwrite);
  char path[PATH_MAX];
  ssize_t done = next(fd, data, length, offset);
  if (done > 0 && ready() && path_of(fd, path)) record(WRITE, path, (uint64_t)offset, data, (uint64_t)done);
  return done;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
  NEXT(pwrite64);
  char path[PATH_MAX];
  ssize_t done = next(fd, data, length, offset);
  if (done > 0 && ready() && path_of(fd, path)) record(WRITE, path, (uint64_t)offset, data, (uint64_t)done);
  return done;
}

static int noted_truncate(int done, int fd, uint64_t size) {
  char path[PATH_MAX];
  if (done == 0 && ready() && path_of(fd, path)) record(TRUNCATE, path, size, "", 0);
  return done;
}
int ftruncate(int fd, off_t size) { NEXT(ftruncate); return noted_truncate(next(fd, size), fd, (uint64_t)size); }
int ftruncate64(int fd, off64_t size) { NEXT(ftruncate64); return noted_truncate(next(fd, size), fd, (uint64_t)size); }

static int noted_sync(int done, int fd) {
  char path[PATH_MAX];
  if (done == 0 && ready() && !getenv("POWER_CUT_NO_SYNC") && path_of(fd, path)) record(SYNC, path, 0, "", 0);
  return done;
}
int fsync(int fd) { NEXT(fsync); return noted_sync(next(fd), fd); }
int fdatasync(int fd) { NEXT(fdatasync); return noted_sync(next(fd), fd); }

int unlink(const char *name) {
  NEXT(unlink);
  char path[PATH_MAX];
  int seen = ready() && realpath(name, path) != NULL && is_data(path);
  int done = next(name);
  if (seen && done == 0) record(UNLINK, path, 0, "", 0);
  return done;
}

int rename(const char *from, const char *to) {
  NEXT(rename);
  char old_path[PATH_MAX], new_path[PATH_MAX];
  int seen = ready() && realpath(from, old_path) != NULL && is_data(old_path);
  int done = next(from, to);
  if (seen && done == 0 && realpath(to, new_path) != NULL) record(RENAME, old_path, 0, new_path, strlen(new_path));
  return done;
}
