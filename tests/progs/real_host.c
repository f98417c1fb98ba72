/* real_host.c - a program that is not linked to hiredis and loads modules that are, the way servers with plug-ins do.
 *
 *      real_host MODULE ROUNDS [local|global|deepbind|lazy|close|wait]...
 *
 * Each word loads the module in its way and runs it: close also unloads it again, hiredis with it. wait is none: it
 * says "waiting" and reads a line, so that a test can look at the process. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct way {
        const char *name;
        int         flags;
} ways[] = {
        {"local", RTLD_NOW | RTLD_LOCAL},
        {"lazy", RTLD_LAZY | RTLD_LOCAL},
        {"close", RTLD_NOW | RTLD_LOCAL},
        {"global", RTLD_NOW | RTLD_GLOBAL},
        {"deepbind", RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND},
};

static int flags_of(const char *name)
{
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
                if (strcmp(ways[i].name, name) == 0)
                        return ways[i].flags;
        }
        fprintf(stderr, "real_host: no such way: %s\n", name);
        exit(2);
}

static int load_and_run(const char *path, const char *name, int rounds)
{
        void *module = dlopen(path, flags_of(name));
        int (*run)(int);

        if (module == NULL || (*(void **)&run = dlsym(module, "module_run")) == NULL) {
                fprintf(stderr, "real_host: %s\n", dlerror());
                exit(2);
        }
        if (flags_of(name) & RTLD_DEEPBIND)
                unsetenv("MT_SHIMMED"); /* out of reach: nothing to require of the shim */
        printf("%s\n", name);
        int ok = run(rounds);
        if (strcmp(name, "close") == 0)
                dlclose(module);
        return ok;
}

int main(int argc, char **argv)
{
        char line[16];
        int  ok = 1;

        if (argc < 4) {
                fprintf(stderr, "usage: real_host MODULE ROUNDS WAY...\n");
                return 2;
        }
        for (int i = 3; i < argc; i++) {
                if (strcmp(argv[i], "wait") == 0) {
                        puts("waiting");
                        fflush(stdout);
                        ok &= fgets(line, sizeof line, stdin) != NULL;
                } else {
                        ok &= load_and_run(argv[1], argv[i], atoi(argv[2]));
                }
        }
        return !ok;
}
