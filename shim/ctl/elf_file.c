/* elf_file.c - owns the reading of ELF: headers, the dynamic section, dynamic symbols and relocations.
 * Elements are copied out before they are looked at, since nothing in a file need be aligned. */
#include "elf_file.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ELF_MACHINE  EM_X86_64
#define ELF_SLOT_PLT R_X86_64_JUMP_SLOT
#define ELF_SLOT_GOT R_X86_64_GLOB_DAT
#define ELF_SLOT_ABS R_X86_64_64
#elif defined(__aarch64__)
#define ELF_MACHINE  EM_AARCH64
#define ELF_SLOT_PLT R_AARCH64_JUMP_SLOT
#define ELF_SLOT_GOT R_AARCH64_GLOB_DAT
#define ELF_SLOT_ABS R_AARCH64_ABS64
#else
#error "a machine whose relocations are not known here"
#endif

static bool elf_read(const struct elf_file *e, uint64_t offset, void *to, size_t n)
{
        if (offset > e->size || n > e->size - offset)
                return false;
        memcpy(to, e->map + offset, n);
        return true;
}

/* A string of the dynamic string table; NULL when it does not end inside the table. */
static const char *elf_string(const struct elf_file *e, uint64_t index)
{
        if (index >= e->strings_size)
                return NULL;
        const char *s = (const char *)e->map + e->strings + index;

        return memchr(s, '\0', e->strings_size - index) ? s : NULL;
}

static bool elf_header(const struct elf_file *e, Elf64_Ehdr *header)
{
        return elf_read(e, 0, header, sizeof *header) && header->e_phentsize == sizeof(Elf64_Phdr);
}

static bool elf_program_header(const struct elf_file *e, unsigned i, Elf64_Phdr *out)
{
        Elf64_Ehdr header;

        return elf_header(e, &header) && i < header.e_phnum && header.e_phoff <= e->size &&
               elf_read(e, header.e_phoff + (uint64_t)i * sizeof *out, out, sizeof *out);
}

/* Where in the file the byte is that is mapped at vaddr. */
static bool elf_offset(const struct elf_file *e, uint64_t vaddr, uint64_t *offset)
{
        Elf64_Phdr p;

        for (unsigned i = 0; elf_program_header(e, i, &p); i++) {
                if (p.p_type == PT_LOAD && vaddr >= p.p_vaddr && vaddr - p.p_vaddr < p.p_filesz) {
                        *offset = p.p_offset + (vaddr - p.p_vaddr);
                        return *offset < e->size;
                }
        }
        return false;
}

static bool elf_dynamic_at(const struct elf_file *e, uint64_t i, Elf64_Dyn *out)
{
        return i < e->dynamic_size / sizeof *out && elf_read(e, e->dynamic + i * sizeof *out, out, sizeof *out) &&
               out->d_tag != DT_NULL;
}

static bool elf_dynamic_value(const struct elf_file *e, int64_t tag, uint64_t *value)
{
        Elf64_Dyn d;

        for (uint64_t i = 0; elf_dynamic_at(e, i, &d); i++) {
                if (d.d_tag == tag) {
                        *value = d.d_un.d_val;
                        return true;
                }
        }
        return false;
}

/* The GNU hash table knows where its last chain ends, and so how many symbols there are. */
static uint64_t elf_gnu_hash_count(const struct elf_file *e, uint64_t at)
{
        uint32_t head[4], bucket, last = 0, link;

        if (!elf_read(e, at, head, sizeof head))
                return 0;
        uint64_t buckets = at + sizeof head + (uint64_t)head[2] * 8;
        uint64_t chains = buckets + (uint64_t)head[0] * 4;

        for (uint32_t i = 0; i < head[0] && elf_read(e, buckets + (uint64_t)i * 4, &bucket, 4); i++)
                last = bucket > last ? bucket : last;
        if (last < head[1])
                return head[1];
        do {
                if (!elf_read(e, chains + (uint64_t)(last - head[1]) * 4, &link, 4))
                        return last;
                last++;
        } while (!(link & 1) && last != 0);
        return last;
}

static void elf_find_symbols(struct elf_file *e)
{
        uint64_t value, at;
        uint32_t head[2];

        if (!elf_dynamic_value(e, DT_STRTAB, &value) || !elf_offset(e, value, &e->strings) ||
            !elf_dynamic_value(e, DT_STRSZ, &e->strings_size))
                return;
        if (e->strings_size > e->size - e->strings)
                e->strings_size = e->size - e->strings;
        if (!elf_dynamic_value(e, DT_SYMTAB, &value) || !elf_offset(e, value, &e->symbols))
                return;
        if (elf_dynamic_value(e, DT_HASH, &value) && elf_offset(e, value, &at) && elf_read(e, at, head, sizeof head))
                e->symbol_count = head[1];
        else if (elf_dynamic_value(e, DT_GNU_HASH, &value) && elf_offset(e, value, &at))
                e->symbol_count = elf_gnu_hash_count(e, at);
        if (e->symbol_count > (e->size - e->symbols) / sizeof(Elf64_Sym))
                e->symbol_count = (e->size - e->symbols) / sizeof(Elf64_Sym);
}

static void elf_find_parts(struct elf_file *e)
{
        Elf64_Phdr p;
        bool       loaded = false;

        for (unsigned i = 0; elf_program_header(e, i, &p); i++) {
                if (p.p_type == PT_LOAD && !loaded) {
                        e->first_vaddr = p.p_vaddr - p.p_offset;
                        loaded = true;
                } else if (p.p_type == PT_DYNAMIC) {
                        e->dynamic = p.p_offset;
                        e->dynamic_size = p.p_filesz;
                } else if (p.p_type == PT_INTERP && p.p_offset < e->size && p.p_filesz <= e->size - p.p_offset) {
                        e->interpreter = p.p_offset;
                        e->interpreter_size = p.p_filesz;
                }
        }
        elf_find_symbols(e);
}

static enum elf_kind elf_classify(struct elf_file *e)
{
        unsigned char ident[EI_NIDENT];
        Elf64_Ehdr    header;

        if (!elf_read(e, 0, ident, sizeof ident) || memcmp(ident, ELFMAG, SELFMAG) != 0)
                return ELF_NOT;
        e->class = ident[EI_CLASS];
        /* e_machine stands at the same place in both classes. */
        if (!elf_read(e, offsetof(Elf64_Ehdr, e_machine), &e->machine, sizeof e->machine))
                return ELF_NOT;
        if (e->class != ELFCLASS64 || ident[EI_DATA] != ELFDATA2LSB || e->machine != ELF_MACHINE)
                return ELF_FOREIGN;
        if (!elf_header(e, &header))
                return ELF_NOT;
        elf_find_parts(e);
        return ELF_NATIVE;
}

enum elf_kind elf_open(struct elf_file *e, const char *path)
{
        struct stat st;
        int         fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

        memset(e, 0, sizeof *e);
        if (fd < 0)
                return ELF_UNREADABLE;
        if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
                close(fd);
                errno = EACCES;
                return ELF_UNREADABLE;
        }
        if (st.st_size > 0) {
                void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);

                if (map == MAP_FAILED) {
                        close(fd);
                        return ELF_UNREADABLE;
                }
                e->map = map;
                e->size = (size_t)st.st_size;
        }
        close(fd);
        enum elf_kind kind = elf_classify(e);

        if (kind == ELF_NOT)
                elf_close(e);
        return kind;
}

void elf_close(struct elf_file *e)
{
        if (e->map)
                munmap((void *)(uintptr_t)e->map, e->size);
        memset(e, 0, sizeof *e);
}

const char *elf_describe(const struct elf_file *e)
{
        static char text[48];
        const char *bits = e->class == ELFCLASS64 ? "64" : "32";

        switch (e->machine) {
        case EM_386: snprintf(text, sizeof text, "%s-bit x86", bits); break;
        case EM_X86_64: snprintf(text, sizeof text, "%s-bit x86-64", bits); break;
        case EM_ARM: snprintf(text, sizeof text, "%s-bit ARM", bits); break;
        case EM_AARCH64: snprintf(text, sizeof text, "%s-bit ARM64", bits); break;
        default: snprintf(text, sizeof text, "%s-bit machine %u", bits, e->machine); break;
        }
        return text;
}

const char *elf_interpreter(const struct elf_file *e)
{
        const char *s = (const char *)e->map + e->interpreter;

        return e->interpreter_size > 0 && memchr(s, '\0', e->interpreter_size) ? s : NULL;
}

bool elf_is_static(const struct elf_file *e)
{
        return !elf_interpreter(e) && !elf_dynamic_string(e, DT_NEEDED, 0);
}

const char *elf_dynamic_string(const struct elf_file *e, int64_t tag, unsigned index)
{
        Elf64_Dyn d;

        for (uint64_t i = 0; elf_dynamic_at(e, i, &d); i++)
                if (d.d_tag == tag && index-- == 0)
                        return elf_string(e, d.d_un.d_val);
        return NULL;
}

static const char *elf_symbol(const struct elf_file *e, uint64_t index, Elf64_Sym *symbol)
{
        if (index >= e->symbol_count || !elf_read(e, e->symbols + index * sizeof *symbol, symbol, sizeof *symbol))
                return NULL;
        return elf_string(e, symbol->st_name);
}

void elf_each_symbol(const struct elf_file *e, elf_symbol_f *f, void *arg)
{
        for (uint64_t i = 1; i < e->symbol_count; i++) {
                Elf64_Sym   symbol;
                const char *name = elf_symbol(e, i, &symbol);

                if (name && name[0] && !f(arg, name, symbol.st_shndx != SHN_UNDEF))
                        return;
        }
}

struct elf_search {
        const char *name;
        bool        defined, found;
};

static bool elf_search_symbol(void *arg, const char *name, bool defined)
{
        struct elf_search *s = arg;

        s->found = defined == s->defined && strcmp(name, s->name) == 0;
        return !s->found;
}

bool elf_imports(const struct elf_file *e, const char *name)
{
        struct elf_search s = {.name = name};

        elf_each_symbol(e, elf_search_symbol, &s);
        return s.found;
}

bool elf_defines(const struct elf_file *e, const char *name)
{
        struct elf_search s = {.name = name, .defined = true};

        elf_each_symbol(e, elf_search_symbol, &s);
        return s.found;
}

static void elf_slots_of(const struct elf_file *e, int64_t tag, int64_t size_tag, elf_slot_f *f, void *arg)
{
        uint64_t vaddr, bytes, at;

        if (!elf_dynamic_value(e, tag, &vaddr) || !elf_dynamic_value(e, size_tag, &bytes) || !elf_offset(e, vaddr, &at))
                return;
        for (uint64_t i = 0; i < bytes / sizeof(Elf64_Rela); i++) {
                Elf64_Rela  rela;
                Elf64_Sym   symbol;
                const char *name;

                if (!elf_read(e, at + i * sizeof rela, &rela, sizeof rela))
                        return;
                uint32_t type = (uint32_t)ELF64_R_TYPE(rela.r_info);

                if (type != ELF_SLOT_PLT && type != ELF_SLOT_GOT && type != ELF_SLOT_ABS)
                        continue;
                name = elf_symbol(e, ELF64_R_SYM(rela.r_info), &symbol);
                if (name && name[0] && symbol.st_shndx == SHN_UNDEF)
                        f(arg, name, rela.r_offset);
        }
}

void elf_each_slot(const struct elf_file *e, elf_slot_f *f, void *arg)
{
        elf_slots_of(e, DT_JMPREL, DT_PLTRELSZ, f, arg);
        elf_slots_of(e, DT_RELA, DT_RELASZ, f, arg);
}

bool elf_contains(const struct elf_file *e, const char *text)
{
        return e->map && memmem(e->map, e->size, text, strlen(text)) != NULL;
}
