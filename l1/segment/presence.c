/* presence.c - whether an agent (`mtshim agent`) is there, told by a lock on a file beside the segment.
 * The segment could tell too, but its name alone takes 30 us to find out, and a program that lives for a moment has
 * none to spare where there is no agent: this is one system call then. The lock goes with the agent, however it ends,
 * so that a file that was left behind says nothing. It is a hint and no more: whoever believes it attaches at once, and
 * finds in the segment what is true.
 *
 * Agents hold the lock together (LOCK_SH); whoever could take it alone (LOCK_EX) has met none. */
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRESENCE_TRIES 100 /* a program may be looking just now, which takes a microsecond */

static bool presence_path(const struct l1_config *config, char path[SEGMENT_PATH_MAX])
{
        int length = snprintf(path, SEGMENT_PATH_MAX, "%s/mtshim.%u.%s-agent",
                              config->directory != NULL ? config->directory : SEGMENT_DIRECTORY, (unsigned)geteuid(),
                              config->name);

        return length > 0 && length < SEGMENT_PATH_MAX;
}

bool l1_agent_present(const struct l1_config *config)
{
        char path[SEGMENT_PATH_MAX];
        int  fd, saved_errno = errno;
        bool present = false;

        if (!presence_path(config, path))
                return false;
        fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd >= 0) {
                present = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
                close(fd);
        }
        errno = saved_errno;
        return present;
}

static bool presence_is_named(int fd, const char *path)
{
        struct stat ours, there;

        return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 && ours.st_dev == there.st_dev &&
               ours.st_ino == there.st_ino;
}

bool l1_agent_announce(const struct l1_config *config, int *held)
{
        char path[SEGMENT_PATH_MAX];

        if (!presence_path(config, path))
                return false;
        if (*held >= 0 && presence_is_named(*held, path))
                return true;
        if (*held >= 0)
                close(*held);
        *held = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
        for (int i = 0; *held >= 0 && i < PRESENCE_TRIES; i++)
                if (flock(*held, LOCK_SH | LOCK_NB) == 0)
                        return true;
        if (*held >= 0)
                close(*held); /* somebody stands still while he looks: another time */
        *held = -1;
        return false;
}

/* Another agent may have opened it a moment ago: it looks again (l1_agent_announce()) and makes another. */
void l1_agent_withdraw(const struct l1_config *config, int *held)
{
        char path[SEGMENT_PATH_MAX];

        if (*held < 0)
                return;
        if (presence_path(config, path) && flock(*held, LOCK_EX | LOCK_NB) == 0 && presence_is_named(*held, path))
                unlink(path);
        close(*held);
        *held = -1;
}
