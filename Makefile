# mtshim - a nearer tier in front of Redis, for programs that use hiredis and need not know
#
#   make               build/libmtshim.so and build/mtshim
#   make demo          the whole thing at work in a minute: one program bare and shimmed, side by side
#   make check         all tests; ends with "N passed, N failed"
#   make help          this page
#
#   make unit          unit tests alone               make e2e          end-to-end scripts alone
#   make lint          rooms, style, scripts          make abi          exports and dependencies of the products
#   make torture       kill -9 against the segment    make model        the slot protocol, exhaustively
#   make chaos         every read against the bound, while everything that can break breaks
#   make chaos-planted does it find what is broken on purpose? FAULT=NAME: that alone (l1/base/fault.h)
#   make tiers-chaos   what a program deleted comes back from no tier; its model; make tiers-planted FAULT=NAME
#   make differential  the same commands, bare and shimmed
#   make asan          unit tests under ASan, UBSan   make ubsan, tsan  the same under clang's UBSan, under TSan
#   make fuzz          libFuzzer on each parser       make cover        lines and branches that tests reach
#   make valgrind      unit tests under memcheck      make tidy         clang-tidy and cppcheck
#   make bench         beside the others, RESULTS.md  make format       clang-format over the tree
#   make bench-deps    what bench compares with       make bench-check  one tiny batch of each side
#   make bench-listener  a flood of foreign writes, and hits meanwhile; QUICK=1 for a shorter look
#   make bench-hitratio  what the cache keeps, beside other policies; QUICK=1 for a shorter look
#   make bench-hosts   what 1 to 256 listeners cost one server, HOSTS.md; QUICK=1 for a shorter look
#   make bench-tier    what lmdb and memcached cost as a tier; QUICK=1 for a shorter look
#   make bench-tier-hit  what further tiers cost a hit of L1
#   make bench-stampede  what coalescing costs a miss that nobody else has
#   make debug         build/debug: -O0, assertions   make testclock    build/testclock: a clock that tests can move
#   make deps          Debian packages, if missing    make deps-matrix  hiredis 1.2 under build/matrix, not installed
#   make install       to PREFIX, below DESTDIR       make uninstall, clean
#
# Variables: CC, BUILD=build (where products go), PREFIX=/usr/local, DESTDIR, V=1 (show commands), WERROR= (a newer
# compiler's warnings do not stop the build), SECS=30 (torture, and each fuzz target; there also NAME=SECS,...,REST, and
# 0 merges what was learnt into the corpus that is kept), TARGET (fuzz: those alone), SEED (torture, chaos), HIREDIS=1.2
# (e2e with the one of deps-matrix), QUICK=1 (bench in a minute, for a look), BOUND_MS= and MODE= (chaos: at that bound
# alone; tracking, pubsub or stream), ONLY=NAME,... (chaos: those injections alone), LINK=unix, tcp, proxy, net or
# sentinel (chaos: that way to the server).

BUILD   ?= build
PREFIX  ?= /usr/local
VERSION := $(shell sed -n 's/^.define MTSHIM_VERSION "\(.*\)"/\1/p' shim/ctl/ctl.h)
WERROR  ?= -Werror
SECS    ?= 30
SEED    ?= 1
FLAVOUR ?= release
export MATRIX ?= $(abspath $(BUILD)/matrix)

ifeq ($(origin CC),default)
CC = gcc
endif
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --no-print-directory
Q = $(if $(V),,@)
comma := ,
SAY = $(if $(V)$(findstring s,$(filter-out --%,$(firstword $(MAKEFLAGS)))),@:,@printf '  %-5s %s\n')

# ------------------------------------------------------------------------------------------------------- sources

# Stores that are linked into the command and the tests alone, and what looks at stores.
TIER_C  := $(sort $(wildcard l1/tier/backend_*.c l1/tier/conform*.c) l1/tier/builtin.c)
# Stores that need a library of their own: libmtshim-NAME.so each, where that library's headers are.
PLUGINS := $(if $(wildcard /usr/include/lmdb.h /usr/local/include/lmdb.h),lmdb) \
           $(if $(wildcard /usr/include/libmemcached/memcached.h /usr/local/include/libmemcached/memcached.h),memcached)
PLUG_C  := $(sort $(foreach p,plugin_options $(PLUGINS),$(wildcard l1/tier/plugins/$p*.c)))
LIB_C   := $(filter-out $(TIER_C),$(sort $(wildcard l1/*.c l1/*/*.c invalidation/*.c $(filter-out shim/ctl/%,$(wildcard shim/*/*.c)))))
CTL_C   := $(sort $(wildcard shim/ctl/*.c))
CORE_C  := $(filter-out shim/interpose/%,$(LIB_C)) $(TIER_C)
UNIT_C  := $(sort $(wildcard tests/unit/check_*.c))
PROGS_C := $(sort $(wildcard tests/progs/*.c))
API_C   := $(sort $(wildcard tests/progs/api/*.c tests/progs/api/*.cc))
ALONE_C := $(sort $(wildcard tests/torture/*.c tests/model/*.c))
FUZZ_C  := $(sort $(wildcard tests/fuzz/fuzz_*.c))
BENCH_C := $(sort $(wildcard bench/*.c))
RATIO_C := $(sort $(wildcard bench/hitratio/*.c))
HOSTS_C := $(sort $(wildcard bench/hosts/*.c))
MISS_C  := $(sort $(wildcard bench/stampede/*.c))
FLOOD_C := bench/listener/flood.c
CHAOS_C := $(sort $(wildcard tests/coherence/*.c))
TIERS_C := $(sort $(wildcard tests/tiers/*.c))
# Sides of the comparison whose libraries are here; those that lack one (bench/lacking) are left out.
PEER_C  := $(filter-out $(shell bench/lacking),$(sort $(wildcard bench/peers/*.c)))
TOOL_C  := $(sort $(wildcard bench/common/*.c bench/driver/*.c bench/report/*.c))
ALL_C   := $(LIB_C) $(TIER_C) $(PLUG_C) $(CTL_C) $(UNIT_C) $(PROGS_C) $(filter %.c,$(API_C)) $(ALONE_C) $(CHAOS_C) \
           $(TIERS_C) $(FUZZ_C) $(BENCH_C) $(PEER_C) $(TOOL_C) $(RATIO_C) $(HOSTS_C) $(MISS_C) $(FLOOD_C)

# --------------------------------------------------------------------------------------------------------- flags

WARN   := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
COMMON := -std=gnu11 -D_GNU_SOURCE -I. $(WARN) $(WERROR) -fvisibility=hidden -fPIC -ftls-model=initial-exec -pthread \
          -ffile-prefix-map=$(CURDIR)=. -ffile-prefix-map=$(BUILD)/gen=gen
CLOCK  := -DMT_DEBUG -DMT_TEST_CLOCK

FLAGS_release   := -O2 -g
FLAGS_debug     := -O0 -g3 -DMT_DEBUG
FLAGS_testclock := -O2 -g $(CLOCK)
FLAGS_asan      := -O1 -g $(CLOCK) -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
FLAGS_ubsan     := -O1 -g $(CLOCK) -fsanitize=undefined -fno-sanitize-recover=undefined
FLAGS_tsan      := -O1 -g $(CLOCK) -fsanitize=thread
FLAGS_cover     := -O0 -g $(CLOCK) --coverage -fprofile-update=atomic
FLAGS_fault      = -O2 -g -DMT_FAULT=$(FAULT) $(if $(filter below_%,$(FAULT)),$(CLOCK))
FLAGS_fuzz      := -O1 -g $(CLOCK) -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined

CPPFLAGS += -DMTSHIM_LIBDIR='"$(PREFIX)/lib/mtshim"'
CFLAGS   := $(COMMON) $(FLAGS_$(FLAVOUR)) $(CFLAGS)
# The release is one translation unit, and linked as if whole: what is hidden is local then, and a hit is one function
# instead of four (66 instructions of 885). -O3 gains nothing; -fno-plt would break the promise of lazy binding below.
# clang's needs another linker.
LTO      := $(if $(filter release,$(FLAVOUR)),$(if $(findstring clang,$(CC)),,-flto -flto-partition=one))
SANITIZE := $(filter -fsanitize% --coverage,$(CFLAGS))

# hiredis is the program's own and found at run time; libbsd is inside and hidden; nothing of either is exported.
# Lazy binding (-z lazy) is on purpose: a program that never calls hiredis pays for no look-up of ours.
LIB_LD := -shared -Wl,-soname,libmtshim.so -Wl,-z,nodelete -Wl,-z,relro -Wl,-z,lazy -Wl,-z,defs -Wl,--gc-sections \
          -Wl,--exclude-libs,ALL -l:libbsd.a -l:libmd.a

# ------------------------------------------------------------------------------------------------------ products

.PHONY: all
.SECONDARY:
all: $(BUILD)/libmtshim.so $(BUILD)/mtshim $(BUILD)/libmtshim-process.so $(PLUGINS:%=$(BUILD)/libmtshim-%.so)

OBJ = $(BUILD)/obj/$(1:.c=.o)
CORE := $(BUILD)/core.a

$(BUILD)/obj/%.o: %.c
	$(SAY) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# Everything but the exported doors: what the command, the unit tests and torture take their pieces from.
$(CORE): $(foreach f,$(CORE_C),$(call OBJ,$f))
	$(SAY) AR $@
	$(Q)rm -f $@ && ar rcsD $@ $^

# One translation unit for the release, and where it is built many times; one object a file elsewhere.
ifneq ($(filter release fault,$(FLAVOUR)),)
LIB_OBJ := $(BUILD)/gen/mtshim_all.o
else
LIB_OBJ := $(foreach f,$(LIB_C),$(call OBJ,$f))
endif

$(BUILD)/gen/mtshim_all.c: $(LIB_C) Makefile
	$(SAY) GEN $@
	$(Q)mkdir -p $(@D)
	$(Q)printf '#include "%s"\n' $(LIB_C) >$@

$(BUILD)/gen/mtshim_all.o: $(BUILD)/gen/mtshim_all.c
	$(SAY) CC $@
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LTO) -ffunction-sections -MMD -MP -c $< -o $@

# The rows of hooks.def and exports.def are the exports. The script is anonymous: a versioned one would hide prctl@GLIBC from programs.
EXPORT_ROWS := shim/hiredis/hooks.def shim/api/exports.def
$(BUILD)/gen/libmtshim.map: $(EXPORT_ROWS) Makefile
	$(SAY) GEN $@
	$(Q)mkdir -p $(@D)
	$(Q){ echo '{ global:'; \
	      $(CC) -E -P -x c '-DNEED(t,n,p)=@n;' '-DMAY(t,n,p)=@n;' '-DEXPORT_ONLY(n)=@n;' $(EXPORT_ROWS:%=-include %) /dev/null | \
	          tr ' ' '\n' | sed -n 's/^@//p'; \
	      $(if $(filter -DMT_TEST_CLOCK,$(CFLAGS)),echo 'mtshim_test_clock_advance_ns;';) \
	      echo 'local: *; };'; } >$@

$(BUILD)/libmtshim.so: $(LIB_OBJ) $(BUILD)/gen/libmtshim.map
	$(SAY) LD $@
	$(Q)$(CC) $(CFLAGS) $(LTO) -o $@ $(LIB_OBJ) $(filter-out $(if $(SANITIZE),-Wl$(comma)-z$(comma)defs),$(LIB_LD)) \
	    -Wl,--version-script,$(BUILD)/gen/libmtshim.map

# A store as a file of its own: nothing but what it exports by itself, mtshim_backend. Linked in it has its own name.
$(BUILD)/libmtshim-process.so: l1/tier/backend_process.c l1/tier/backend.h l1/base/bytes.h
	$(SAY) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -shared -Wl,-soname,$(@F) -Wl,-z,relro $(if $(SANITIZE),,-Wl,-z$(comma)defs) -o $@ $<
$(call OBJ,l1/tier/backend_process.c): CPPFLAGS += -Dmtshim_backend=backend_process


# Those with a library: that one is the only need besides libc, libbsd is inside and hidden, mtshim_backend all that is seen.
# None is ever unloaded: what it needs may have made threads and keys of its own.
PLUG_SRC = $(wildcard l1/tier/plugins/plugin_options.c l1/tier/plugins/$(1)*.c) l1/base/units.c l1/base/glob.c l1/base/forklock.c
$(PLUGINS:%=$(BUILD)/libmtshim-%.so): $(BUILD)/libmtshim-%.so: $(wildcard l1/tier/plugins/*.[ch]) l1/tier/backend.h \
                                      $(wildcard l1/base/*.h) l1/base/units.c l1/base/glob.c l1/base/forklock.c Makefile
	$(SAY) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -shared -Wl,-soname,$(@F) -Wl,-z,relro -Wl,-z,nodelete -Wl,--gc-sections -ffunction-sections \
	    $(if $(SANITIZE),,-Wl$(comma)-z$(comma)defs) -Wl,--exclude-libs,ALL -o $@ $(call PLUG_SRC,$*) \
	    -Wl,--as-needed -l$* -l:libbsd.a -l:libmd.a
$(foreach p,$(PLUGINS),$(call OBJ,l1/tier/plugins/$p.c)): CPPFLAGS += -Dmtshim_backend=backend_$(basename $(@F))

$(BUILD)/mtshim: $(foreach f,$(CTL_C),$(call OBJ,$f)) $(CORE)
	$(SAY) LD $@
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(if $(filter -fsanitize%,$(SANITIZE)),,-Wl,--no-as-needed -lmimalloc) -lbsd -lhiredis

# --------------------------------------------------------------------------------------------------- test programs

UNIT    := $(UNIT_C:tests/unit/%.c=$(BUILD)/unit/%)
ALONE   := $(BUILD)/torture/torture $(BUILD)/model/model
PROGS   := $(patsubst tests/progs/%.c,$(BUILD)/progs/%,$(filter-out tests/progs/tls_%,$(PROGS_C))) # 0.14 has no TLS
PROGS_B := $(PROGS_C:tests/progs/%.c=$(BUILD)/progs-1.2/%)
# One program of the C interface reads the structs of hiredis itself.
API_B   := $(BUILD)/progs-1.2/api_both
API     := $(patsubst tests/progs/api/%,$(BUILD)/progs/%,$(basename $(API_C)))
BENCH   := $(BENCH_C:bench/%.c=$(BUILD)/bench/%)
HOSTS   := $(HOSTS_C:bench/%.c=$(BUILD)/bench/%)
MISS    := $(MISS_C:bench/%.c=$(BUILD)/bench/%)
PEERS   := $(PEER_C:bench/peers/%.c=$(BUILD)/bench/peers/%)
FUZZ    := $(FUZZ_C:tests/fuzz/%.c=$(BUILD)/fuzz/%)
CHECK_LD := -Wl,--no-as-needed -lhiredis -lcheck -lsubunit -lbsd -lm -lrt

.PHONY: unit-programs alone-programs programs bench-programs
unit-programs: $(UNIT)
alone-programs: $(ALONE)
programs: $(PROGS) $(API) $(if $(wildcard $(MATRIX)/usr/include/hiredis/hiredis.h),$(PROGS_B) $(API_B))
bench-programs: $(BENCH) $(PEERS) $(addprefix $(BUILD)/bench/,peers/hiredis-mimalloc tools/driver tools/report flood empty.so)

$(BUILD)/unit/check_disk: $(foreach f,$(filter-out l1/tier/plugins/memcached%,$(PLUG_C)),$(call OBJ,$f))
$(BUILD)/unit/check_disk: CHECK_LD += -llmdb
$(BUILD)/unit/check_memcached: $(foreach f,$(filter-out l1/tier/plugins/lmdb%,$(PLUG_C)),$(call OBJ,$f))
$(BUILD)/unit/check_memcached: CHECK_LD += -lmemcached
$(BUILD)/unit/check_tls: CHECK_LD += -lssl -lcrypto
# Finds a hiredis by itself, as a program does that has none.
$(BUILD)/unit/check_pool_tls: CHECK_LD := $(filter-out -lhiredis,$(CHECK_LD))
$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $(CORE)
	$(SAY) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -o $@ $(filter %.o,$^) $(filter-out %.o,$^) $(CHECK_LD)

$(BUILD)/unit/check_oracle: $(call OBJ,tests/coherence/oracle.c)

# One program from all files of its folder.
$(BUILD)/torture/torture: $(foreach f,$(filter tests/torture/%,$(ALONE_C)),$(call OBJ,$f))
$(BUILD)/model/model: $(foreach f,$(filter tests/model/%,$(ALONE_C)),$(call OBJ,$f))
$(ALONE): $(CORE)
	$(SAY) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -o $@ $(filter %.o,$^) $(CORE) -lbsd

# The checker: a parent that knows everything, and workers that are plain hiredis programs.
CHAOS  := $(BUILD)/coherence/coherence $(BUILD)/coherence/worker
WORK_C := $(addprefix tests/coherence/,worker.c write.c cli.c oracle.c)
.PHONY: chaos-programs
chaos-programs: $(CHAOS)
$(BUILD)/coherence/coherence: $(foreach f,$(filter-out $(filter-out %/oracle.c,$(WORK_C)),$(CHAOS_C)),$(call OBJ,$f)) $(CORE)
	$(SAY) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ -lhiredis -lbsd
$(BUILD)/coherence/worker: $(WORK_C) $(wildcard tests/coherence/*.h)
	$(SAY) PROG $@
	$(Q)mkdir -p $(@D)
	$(Q)$(PROG_CC) -pthread -o $@ $(WORK_C) -lhiredis

# The same for the tiers: one program a file, of plain hiredis or of nothing at all.
TIERS := $(TIERS_C:tests/tiers/%.c=$(BUILD)/tiers/%)
.PHONY: tiers-programs
tiers-programs: $(TIERS)
$(TIERS): $(BUILD)/tiers/%: tests/tiers/%.c $(wildcard tests/tiers/*.h)
	$(SAY) PROG $@
	$(Q)mkdir -p $(@D)
	$(Q)$(PROG_CC) -o $@ $< $(PROG_LD)

$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(CORE)
	$(SAY) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -fsanitize=fuzzer -o $@ $^ -lhiredis -lbsd

# The real L1 beside simulated caches. GLib's headers are the system's: our warnings are not for them.
GLIB = $(shell pkg-config --cflags glib-2.0 | sed 's/-I/-isystem /g')
$(BUILD)/obj/bench/hitratio/%.o syntax-gcc/bench/hitratio/% syntax-clang/bench/hitratio/%: CPPFLAGS += $(GLIB)
$(BUILD)/bench/hitratio: $(foreach f,$(RATIO_C),$(call OBJ,$f)) $(CORE)
	$(SAY) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $$(pkg-config --libs glib-2.0) -lz -lbsd -lm

$(BUILD)/bench/flood: $(foreach f,$(FLOOD_C),$(call OBJ,$f)) $(CORE)
	$(SAY) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ -lhiredis -lbsd

# Plain hiredis programs; a comment "// build: -shared -ldl" at the top of one adds to its command line.
PROG_CC = $(CC) -std=gnu11 -D_GNU_SOURCE -O2 -g $(WARN) $(WERROR) -MMD -MP -MF $@.d
PROG_LD = -Wl,--as-needed $$(sed -n 's,^// build:,,p' $<) -lhiredis

$(PROGS): $(BUILD)/progs/%: tests/progs/%.c
	$(SAY) PROG $@
	$(Q)mkdir -p $(@D)
	$(Q)$(PROG_CC) -o $@ $< $(PROG_LD)

API_LD = -Ishim -L$(BUILD) -Wl,-rpath,'$$ORIGIN/..' -lmtshim $$(sed -n 's,^// build:,,p' $<)

$(filter $(BUILD)/progs/api_%,$(API)): $(BUILD)/progs/%: tests/progs/api/%.c $(BUILD)/libmtshim.so shim/mtshim.h
	$(SAY) PROG $@
	$(Q)mkdir -p $(@D)
	$(Q)$(PROG_CC) -pthread -o $@ $< $(API_LD)

$(filter $(BUILD)/progs/cxx_%,$(API)): $(BUILD)/progs/%: tests/progs/api/%.cc $(BUILD)/libmtshim.so shim/mtshim.h
	$(SAY) PROG $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CXX) -std=c++17 -O2 -g -Wall -Wextra -Wshadow -pedantic $(WERROR) -MMD -MP -MF $@.d -o $@ $< $(API_LD)

$(API_B): $(BUILD)/progs-1.2/%: tests/progs/api/%.c $(MATRIX)/usr/include/hiredis/hiredis.h $(BUILD)/libmtshim.so
	$(SAY) PROG $@
	$(Q)mkdir -p $(@D)
	$(Q)$(PROG_CC) -o $@ -isystem $(MATRIX)/usr/include $< -L$(firstword $(wildcard $(MATRIX)/usr/lib/*)) $(API_LD)

$(PROGS_B): $(BUILD)/progs-1.2/%: tests/progs/%.c $(MATRIX)/usr/include/hiredis/hiredis.h
	$(SAY) PROG $@
	$(Q)mkdir -p $(@D)
	$(Q)$(PROG_CC) -o $@ -isystem $(MATRIX)/usr/include $< -L$(firstword $(wildcard $(MATRIX)/usr/lib/*)) $(PROG_LD)

$(BENCH) $(HOSTS) $(MISS): $(BUILD)/bench/%: bench/%.c
	$(SAY) PROG $@
	$(Q)mkdir -p $(@D)
	$(Q)$(PROG_CC) -o $@ $< $(PROG_LD)

# A peer is its own file and the worker that all share; what it needs is in its head ("// pkg: lmdb"). Each has the
# allocator that its users have, glibc's; hiredis is there a second time with mimalloc.
PEER_CC = $(PROG_CC) -I. -pthread
PEER_PKG = $$(sed -n 's,^// pkg:,,p' $(1) | xargs -r pkg-config $(2) 2>/dev/null | sed 's,-I,-isystem ,g')
PEER_LD = $(call PEER_PKG,$<,--cflags) $< bench/common/worker.c $(call PEER_PKG,$<,--libs)

$(PEERS): $(BUILD)/bench/peers/%: bench/peers/%.c bench/common/worker.c
	$(SAY) PEER $@
	$(Q)mkdir -p $(@D)
	$(Q)$(PEER_CC) -o $@ $(PEER_LD) $(PEER_MORE)
$(BUILD)/bench/peers/hiredis: PEER_MORE = -lhiredis
$(BUILD)/bench/peers/l1: PEER_MORE = $(CORE) -lbsd
$(BUILD)/bench/peers/l1: $(CORE)
$(BUILD)/bench/peers/hiredis-mimalloc: bench/peers/hiredis.c bench/common/worker.c
	$(SAY) PEER $@
	$(Q)mkdir -p $(@D)
	$(Q)$(PEER_CC) -o $@ $(PEER_LD) -lhiredis -Wl,--no-as-needed -lmimalloc

$(addprefix $(BUILD)/bench/tools/,driver report): $(BUILD)/bench/tools/%: $(wildcard bench/driver/*.[ch] bench/report/*.[ch] bench/common/*.h)
	$(SAY) TOOL $@
	$(Q)mkdir -p $(@D)
	$(Q)$(PROG_CC) -o $@ $(wildcard bench/$*/*.c) -ljansson -lm

$(BUILD)/bench/empty.so:
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -x c -shared -fPIC -o $@ /dev/null

$(MATRIX)/usr/include/hiredis/hiredis.h:
	$(Q)tests/deps/matrix $(MATRIX)

-include $(shell find $(BUILD) -name '*.d' -not -path '*/matrix/*' 2>/dev/null)

# ---------------------------------------------------------------------------------------------------- flavours

FLAVOURS := debug testclock asan ubsan tsan cover fuzz
flavour = $(MAKE) FLAVOUR=$(1) BUILD=$(BUILD)/$(1) $(if $(filter fuzz ubsan,$(1)),CC=clang) $(2)

# How much slower, at most, a test is under them: its time limits are multiplied by it.
SLOWER_asan     := 5
SLOWER_ubsan    := 3
SLOWER_tsan     := 20
SLOWER_valgrind := 40
unit_slower = JOBS=$(shell nproc) CK_TIMEOUT_MULTIPLIER=$(SLOWER_$@) tests/unit/run

.PHONY: debug testclock asan ubsan tsan cover fuzz
debug testclock:
	+$(Q)$(call flavour,$@,all)
asan ubsan tsan: # gcc's warnings about what it instruments itself are no errors
	+$(Q)$(call flavour,$@,WERROR= unit-programs alone-programs)
	$(Q)$(unit_slower) $(BUILD)/$@
	$(Q)$(if $(ALONE),$(if $(filter tsan,$@),setarch -R) $(BUILD)/$@/torture/torture --threads --seconds $(SECS) --seed $(SEED))
cover:
	+$(Q)$(call flavour,$@,all unit-programs programs)
	$(Q)find $(BUILD)/$@ -name '*.gcda' -delete
	-$(Q)tests/unit/run $(BUILD)/$@
	-$(Q)tests/e2e/run --build $(BUILD)/$@
	$(Q)lcov -q --rc lcov_branch_coverage=1 -c -d $(BUILD)/$@/obj -b . --no-external -o $(BUILD)/$@/all.info
	$(Q)lcov -q --rc lcov_branch_coverage=1 -r $(BUILD)/$@/all.info '*/tests/*' -o $(BUILD)/$@/cover.info
	$(Q)lcov --rc lcov_branch_coverage=1 --list $(BUILD)/$@/cover.info
# One planted fault each: build/fault-NAME/libmtshim.so, the names are those of l1/base/fault.h.
FAULTS := $(shell sed -n 's,^ *FAULT_\([a-z_]*\) *\,.*/\*.*,fault-\1,p' l1/base/fault.h)
.PHONY: $(FAULTS)
$(FAULTS):
	+$(Q)$(MAKE) FLAVOUR=fault FAULT=$(@:fault-%=%) BUILD=$(BUILD)/$@ $(BUILD)/$@/libmtshim.so
fuzz:
	+$(Q)$(call flavour,$@,$(FUZZ:$(BUILD)/%=$(BUILD)/$@/%))
	$(Q)tests/fuzz/run $(BUILD)/$@ $(SECS) $(TARGET)

# -------------------------------------------------------------------------------------------------------- tests

.PHONY: deps deps-matrix check demo unit e2e lint abi torture chaos model differential valgrind tidy format
.PHONY: bench bench-check bench-listener bench-deps
deps:
	$(Q)tests/deps/install tests/deps/packages.txt tests/e2e/packages.txt
deps-matrix: $(MATRIX)/usr/include/hiredis/hiredis.h

# One after the other: the compilers must be there before anything is compiled.
check:
	+$(Q)$(MAKE) deps
	+$(Q)tests/check $(BUILD)
demo:
	+$(Q)$(MAKE) deps
	+$(Q)$(MAKE) all bench-programs
	$(Q)tests/demo $(BUILD)

.PHONY: testclock-programs check-syntax
testclock-programs:
	+$(Q)$(call flavour,testclock,all unit-programs)
unit: testclock-programs
	$(Q)tests/unit/run $(BUILD)/testclock
valgrind: testclock-programs
	$(Q)$(unit_slower) $(BUILD)/testclock valgrind -q --error-exitcode=99 --leak-check=full
e2e differential: all programs
	+$(Q)$(call flavour,testclock,all)
	$(Q)tests/e2e/run --build $(BUILD) $(if $(HIREDIS),--hiredis $(HIREDIS)) $(if $(filter differential,$@),--only differential)
lint:
	$(Q)tests/lint/run
abi: all
	$(Q)tests/abi/run $(BUILD)
torture model: alone-programs
	$(Q)$(BUILD)/$@/$@ $(if $(filter torture,$@),--seconds $(SECS) --seed $(SEED))
chaos: all chaos-programs programs
	$(Q)$(BUILD)/coherence/coherence --build $(BUILD) --seconds $(SECS) --seed $(SEED) $(if $(BOUND_MS),--bound-ms $(BOUND_MS)) \
	    $(if $(MODE),--mode $(MODE)) $(if $(ONLY),--only $(ONLY)) $(if $(LINK),--link $(LINK))
.PHONY: tiers-chaos tiers-planted
tiers-chaos: all tiers-programs
	+$(Q)$(call flavour,testclock,all)
	$(Q)$(BUILD)/tiers/model
	$(Q)$(BUILD)/tiers/tiers --build $(BUILD) --seconds $(SECS) --seed $(SEED)
tiers-planted: all tiers-programs
	+$(Q)$(call flavour,testclock,all)
	+$(Q)tests/tiers/planted $(BUILD) $(FAULT)
.PHONY: chaos-planted
chaos-planted: all chaos-programs programs
	+$(Q)tests/coherence/planted $(BUILD) $(FAULT)
bench: all bench-programs
	$(Q)bench/run $(BUILD) $(if $(QUICK),quick,full)
bench-check: all bench-programs $(HOSTS)
	+$(Q)$(call flavour,testclock,all)
	$(Q)bench/check $(BUILD)
bench-listener: all bench-programs
	$(Q)bench/listener/run $(BUILD) $(if $(QUICK),quick,full)
bench-deps:
	$(Q)tests/deps/install tests/deps/packages.txt bench/packages.txt

# With the clock that tests can move: times to live pass without waiting.
.PHONY: hitratio-program bench-hitratio
hitratio-program:
	+$(Q)$(call flavour,testclock,$(BUILD)/testclock/bench/hitratio)
bench-hitratio:
	+$(Q)$(MAKE) deps
	+$(Q)$(MAKE) hitratio-program
	$(Q)mkdir -p $(BUILD)/bench
	$(Q)$(BUILD)/testclock/bench/hitratio --check
	$(Q)$(BUILD)/testclock/bench/hitratio $(if $(QUICK),--quick) --curve --tsv $(BUILD)/bench/hitratio.tsv

# The flavour with the clock is for the hosts that a minute passes for.
.PHONY: bench-hosts
bench-hosts: all $(HOSTS)
	+$(Q)$(call flavour,testclock,all)
	$(Q)bench/hosts/run $(BUILD) $(if $(QUICK),quick,full)

.PHONY: bench-tier bench-tier-hit
bench-tier: all $(BUILD)/bench/tier
	$(Q)bench/tiers $(BUILD) $(if $(QUICK),quick)
bench-tier-hit: all $(MISS)
	$(Q)bench/tierhit $(BUILD)

.PHONY: bench-stampede
bench-stampede: all $(MISS)
	$(Q)bench/stampede/run $(BUILD)

# Both compilers read everything; nothing is written.
SYNTAX := $(foreach cc,gcc clang,$(ALL_C:%=syntax-$(cc)/%))
SYNTAX_FILE = $(patsubst gcc/%,%,$(patsubst clang/%,%,$*))
.PHONY: $(SYNTAX)
check-syntax: $(SYNTAX)
$(SYNTAX): syntax-%:
	$(Q)$(firstword $(subst /, ,$*)) $(CPPFLAGS) $(COMMON) $(CLOCK) $(if $(filter tests/progs/api/%,$(SYNTAX_FILE)),-Ishim) -fsyntax-only $(SYNTAX_FILE) $(call PEER_PKG,$(SYNTAX_FILE),--cflags)

tidy:
	$(Q)tests/deps/install clang-tidy cppcheck
	$(Q)clang-tidy --quiet $(LIB_C) $(CTL_C) -- $(CPPFLAGS) $(COMMON)
	$(Q)cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
	    --suppress=missingIncludeSystem -D__x86_64__ -D_GNU_SOURCE -I. $(LIB_C) $(CTL_C)
format:
	$(Q)clang-format -i $$(tests/lint/sources)

# ------------------------------------------------------------------------------------------------------ install

.PHONY: install uninstall clean help
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/mtshim
	install -m 755 $(BUILD)/mtshim $(DESTDIR)$(PREFIX)/bin/mtshim
	install -m 755 $(BUILD)/libmtshim.so $(DESTDIR)$(PREFIX)/lib/mtshim/libmtshim.so
	install -m 755 $(BUILD)/libmtshim-process.so $(DESTDIR)$(PREFIX)/lib/mtshim/libmtshim-process.so
	ln -sfn mtshim/libmtshim.so $(DESTDIR)$(PREFIX)/lib/libmtshim.so
	install -d $(DESTDIR)$(PREFIX)/include/mtshim $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install -m 644 l1/base/bytes.h $(DESTDIR)$(PREFIX)/include/mtshim/bytes.h
	sed 's,"../base/bytes.h","bytes.h",' l1/tier/backend.h >$(DESTDIR)$(PREFIX)/include/mtshim/backend.h
	$(foreach p,$(PLUGINS),install -m 755 $(BUILD)/libmtshim-$p.so $(DESTDIR)$(PREFIX)/lib/mtshim/libmtshim-$p.so;)
	install -m 644 shim/mtshim.h $(DESTDIR)$(PREFIX)/include/mtshim.h
	sed 's,@PREFIX@,$(PREFIX),; s,@VERSION@,$(VERSION),' shim/mtshim.pc.in >$(DESTDIR)$(PREFIX)/lib/pkgconfig/mtshim.pc
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's,@PREFIX@,$(PREFIX),' shim/ctl/mtshim-agent@.service.in >$(DESTDIR)$(PREFIX)/lib/systemd/system/mtshim-agent@.service
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/mtshim $(DESTDIR)$(PREFIX)/lib/mtshim/libmtshim.so \
	    $(DESTDIR)$(PREFIX)/lib/mtshim/libmtshim-process.so $(DESTDIR)$(PREFIX)/lib/libmtshim.so \
	    $(DESTDIR)$(PREFIX)/include/mtshim/backend.h $(DESTDIR)$(PREFIX)/include/mtshim/bytes.h \
	    $(DESTDIR)$(PREFIX)/lib/mtshim/libmtshim-lmdb.so $(DESTDIR)$(PREFIX)/lib/mtshim/libmtshim-memcached.so \
	    $(DESTDIR)$(PREFIX)/include/mtshim.h $(DESTDIR)$(PREFIX)/lib/pkgconfig/mtshim.pc \
	    $(DESTDIR)$(PREFIX)/lib/systemd/system/mtshim-agent@.service
	-rmdir $(DESTDIR)$(PREFIX)/lib/mtshim $(DESTDIR)$(PREFIX)/include/mtshim
clean:
	rm -rf $(BUILD)
help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile
