/* program.c - owns the way from a name on the command line to machine code. */
#include "program.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <paths.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PROGRAM_SCRIPTS_MAX 5 /* as many as the kernel follows */

static int program_check(const char *path)
{
        struct stat st;

        if (stat(path, &st) != 0)
                return errno;
        if (!S_ISREG(st.st_mode))
                return EACCES;
        return access(path, X_OK) == 0 ? 0 : errno;
}

int program_find(const char *name, char path[PATH_MAX])
{
        const char *list = getenv("PATH");
        int         seen = ENOENT;

        if (name[0] == '\0')
                return ENOENT;
        if (strchr(name, '/'))
                return strlcpy(path, name, PATH_MAX) < PATH_MAX ? program_check(path) : ENAMETOOLONG;
        for (const char *p = list ? list : _PATH_DEFPATH;; p++) {
                size_t len = strcspn(p, ":");
                int    n = snprintf(path, PATH_MAX, "%.*s%s%s", (int)len, p, len ? "/" : "./", name);

                if (n < PATH_MAX) {
                        int error = program_check(path);

                        if (error == 0)
                                return 0;
                        if (error == EACCES)
                                seen = EACCES;
                }
                p += len;
                if (*p == '\0')
                        return seen;
        }
}

/* The next word of a #! line, NULL at its end. */
static char *program_word(char **line)
{
        char *word = *line + strspn(*line, " \t");

        if (*word == '\0')
                return NULL;
        *line = word + strcspn(word, " \t");
        if (**line)
                *(*line)++ = '\0';
        return word;
}

bool program_interpreter(const char *path, char interpreter[PATH_MAX])
{
        char    head[PATH_MAX], *line = head + 2, *word;
        int     fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        ssize_t n;

        if (fd < 0)
                return false;
        n = read(fd, head, sizeof head - 1);
        close(fd);
        if (n < 2 || head[0] != '#' || head[1] != '!')
                return false;
        head[n] = '\0';
        head[strcspn(head, "\n")] = '\0';
        word = program_word(&line);
        if (!word)
                return false;
        strlcpy(interpreter, word, PATH_MAX);
        /* env(1) executes what it is told in its own place: "env [-S] [NAME=VALUE]... program". */
        const char *slash = strrchr(word, '/');

        if (slash && strcmp(slash, "/env") == 0) {
                while ((word = program_word(&line)) && (word[0] == '-' || strchr(word, '=')))
                        continue;
                if (word && program_find(word, interpreter) != 0)
                        strlcpy(interpreter, word, PATH_MAX);
        }
        return true;
}

unsigned program_follow(char path[PATH_MAX])
{
        char     next[PATH_MAX];
        unsigned followed = 0;

        while (followed < PROGRAM_SCRIPTS_MAX && program_interpreter(path, next)) {
                strlcpy(path, next, PATH_MAX);
                followed++;
        }
        return followed;
}

bool program_privileged(const char *path, bool for_me, char *why, size_t size)
{
        struct stat st;
        char        caps[64];

        if (stat(path, &st) != 0)
                return false;
        if ((st.st_mode & S_ISUID) && !(for_me && st.st_uid == getuid())) {
                const struct passwd *user = getpwuid(st.st_uid);

                snprintf(why, size, "set-uid %s", user ? user->pw_name : "of another user");
                return true;
        }
        if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && !(for_me && st.st_gid == getgid())) {
                const struct group *group = getgrgid(st.st_gid);

                snprintf(why, size, "set-gid %s", group ? group->gr_name : "of another group");
                return true;
        }
        if (getxattr(path, "security.capability", caps, sizeof caps) > 0 && !(for_me && getuid() == 0)) {
                snprintf(why, size, "file capabilities");
                return true;
        }
        return false;
}
