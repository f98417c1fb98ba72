/* elf_file.h - what a dynamic loader would read of an ELF file of this machine, without running it.
 * Nothing in the file is believed: every offset is checked against the file's size, so a truncated or forged file
 * gives missing answers and no fault. */
#ifndef MT_CTL_ELF_FILE_H
#define MT_CTL_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum elf_kind {
        ELF_UNREADABLE, /* errno says why */
        ELF_NOT,        /* not ELF at all: a script, text */
        ELF_FOREIGN,    /* ELF of another class, byte order or machine: see elf_describe() */
        ELF_NATIVE      /* the only kind that the other functions take */
};

struct elf_file {
        const unsigned char *map;
        size_t               size;
        uint64_t             first_vaddr; /* where the file's first byte is mapped, before the loader adds its base */
        uint64_t             dynamic, dynamic_size;
        uint64_t             strings, strings_size, symbols, symbol_count;
        uint64_t             interpreter, interpreter_size;
        uint16_t             machine;
        unsigned char class;
};

enum elf_kind elf_open(struct elf_file *e, const char *path);
void          elf_close(struct elf_file *e);

/* "32-bit x86", "64-bit machine 243" */
const char *elf_describe(const struct elf_file *e);
/* The dynamic loader it names, NULL when none. */
const char *elf_interpreter(const struct elf_file *e);
/* No loader is asked for and nothing needed: LD_PRELOAD does not exist for it. */
bool elf_is_static(const struct elf_file *e);
/* The index-th string of a dynamic tag (DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH), NULL when there is none. */
const char *elf_dynamic_string(const struct elf_file *e, int64_t tag, unsigned index);

/* Each named symbol of the dynamic symbol table; false from f ends the walk. */
typedef bool elf_symbol_f(void *arg, const char *name, bool defined);
void         elf_each_symbol(const struct elf_file *e, elf_symbol_f *f, void *arg);
bool         elf_imports(const struct elf_file *e, const char *name);
bool         elf_defines(const struct elf_file *e, const char *name);

/* Each word of the image that the loader fills with the address of an imported function: virtual address, and whose. */
typedef void elf_slot_f(void *arg, const char *name, uint64_t vaddr);
void         elf_each_slot(const struct elf_file *e, elf_slot_f *f, void *arg);

/* Do these bytes occur anywhere in the file? */
bool elf_contains(const struct elf_file *e, const char *text);

#endif
