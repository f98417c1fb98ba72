/* fuzz_ctl_elf.c - any bytes as an ELF file: every question that the command asks of one. */
#include "shim/ctl/closure.c"
#include "shim/ctl/elf_file.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool take_symbol(void *arg, const char *name, bool defined)
{
        *(size_t *)arg += strlen(name) + defined;
        return true;
}

static void take_slot(void *arg, const char *name, uint64_t vaddr)
{
        *(size_t *)arg += strlen(name) + (vaddr & 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static int     fd = -1;
        char           path[32];
        struct closure c;
        size_t         sum = 0;

        if (fd < 0)
                fd = memfd_create("fuzz", MFD_CLOEXEC);
        if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
                abort();
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (closure_build(&c, path) == ELF_NATIVE) {
                elf_each_symbol(&c.object[0].elf, take_symbol, &sum);
                elf_each_slot(&c.object[0].elf, take_slot, &sum);
                sum += elf_is_static(&c.object[0].elf) + elf_contains(&c.object[0].elf, "redisCommand");
        }
        sum += closure_hiredis(&c) != NULL;
        closure_destroy(&c);
        return sum == SIZE_MAX;
}
