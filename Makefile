# Pollux: `make run` shows it, `make test` proves it, `make help` lists the rest.

SHELL   := /bin/bash
VERSION := 0.1.0
PREFIX  ?= /usr/local

# Each variant has a directory of its own below build/: release; SAN=address,undefined or SAN=thread
# (sanitizers); FUZZ=1 (libFuzzer, wants clang); COV=1 (counts what runs).
comma   := ,
VARIANT := $(if $(FUZZ),fuzz,$(if $(COV),coverage,$(if $(SAN),san-$(subst $(comma),-,$(SAN)),release)))
B       := build/$(VARIANT)

PKGS    := hiredis json-c libcrypto zlib libconfuse libcurl libjwt
CPPFLAGS += -I. -I$(B)/gen -D_GNU_SOURCE -DPLX_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2
HARDEN  := -fstack-protector-strong -fPIE -fno-plt
LDHARD  := -pie -Wl,-z,relro -Wl,-z,now
ifdef FUZZ
CC      := clang
CFLAGS  := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
LDFLAGS += -fsanitize=fuzzer,address,undefined
else ifdef COV
CFLAGS  := -O0 -g --coverage
else ifdef SAN
CFLAGS  := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
LDFLAGS += -fsanitize=$(SAN)
else
CFLAGS  ?= -O2 -g
CPPFLAGS += -D_FORTIFY_SOURCE=2
endif
ifdef CI
WARN    += -Werror
endif
ALL_CFLAGS = -std=c11 $(CFLAGS) $(WARN) $(HARDEN) $(EXTRA_CFLAGS)
LDLIBS  := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lev -lfcgi -ldl -lpthread -lm
LDFLAGS += $(LDHARD) -rdynamic
# Short lines; V=1 shows the commands.
QUIET   := $(if $(V),,@)
SAY      = @$(if $(V),true,printf '  %-4s %s\n')

# Every .c file belongs to the library but for the programs' mains.
MAINS   := fcgi/main.c transport/ws_main.c channel/cli/main.c
SRCS    := $(filter-out $(MAINS),$(wildcard base/*.c store/*.c channel/*.c channel/cli/*.c transport/*.c fcgi/*.c))
OBJS    := $(SRCS:%.c=$(B)/obj/%.o)
LUA     := $(wildcard store/lua/*.lua)
PUBLISH := $(B)/share/publish.lua
PROGRAMS := $(B)/bin/pollux-fcgi $(B)/bin/pollux-ws $(B)/bin/pollux
UNITS   := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
MODULES := $(patsubst tests/backend/%.c,$(B)/modules/%.so,$(wildcard tests/backend/*.c))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all help run example test check unit units units-fcgi fuzzers integration lint tidy format fuzz bench coverage
.PHONY: install uninstall clean deps deps-dev deps-node deps-demo FORCE
# Kept, although only a pattern rule asks for them.
.SECONDARY: $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/unit/*.c tests/fuzz/*.c))

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

all: $(PROGRAMS) $(MODULES) $(PUBLISH) ## build the programs into build/release/bin

# The Lua scripts are ordinary files; the build wraps each into a C string. (The directory is named,
# too, so that a script that goes away is noticed.)
LUA_INC := $(B)/gen/store/lua.inc
$(LUA_INC): $(LUA) store/lua Makefile
	@mkdir -p $(@D)
	@set -e; for f in $(LUA); do n=$$(basename $$f .lua); \
	  printf 'static const char plx_lua_%s[] =\n' "$$n"; \
	  sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$$/\\n"/' $$f; printf '    ;\n'; done > $@.new
	@mv $@.new $@

# The script by which other programs publish: ours, with what its callers need around it.
PUBLISH_PARTS := store/lua/public/head.lua store/lua/topic.lua store/lua/publish.lua store/lua/public/call.lua
$(PUBLISH): $(PUBLISH_PARTS)
	@mkdir -p $(@D)
	@cat $(PUBLISH_PARTS) > $@.new && mv $@.new $@

# What everything is compiled with: an object made with other flags is made again.
FLAGS   := $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS) $(LDLIBS)
$(B)/flags: export FLAGS_NOW = $(FLAGS)
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' "$$FLAGS_NOW" | cmp -s - $@ || printf '%s\n' "$$FLAGS_NOW" > $@

# Generated headers are there before the first compiler runs; later the .d files know who reads them.
$(B)/obj/%.o: %.c $(B)/flags | $(LUA_INC)
	@mkdir -p $(@D)
	$(SAY) cc $<
	$(QUIET)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(B)/bin/pollux-fcgi: $(B)/obj/fcgi/main.o $(OBJS)
$(B)/bin/pollux-ws: $(B)/obj/transport/ws_main.o $(OBJS)
$(B)/bin/pollux: $(B)/obj/channel/cli/main.o $(OBJS)
$(PROGRAMS):
	@mkdir -p $(@D)
	$(SAY) ld $@
	$(QUIET)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(B)/unit/%: $(B)/obj/tests/unit/%.o $(OBJS)
	@mkdir -p $(@D)
	$(SAY) ld $@
	$(QUIET)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -lcmocka -o $@

# Unit tests that stand in for the store (tests/unit/fake_store.h): the linker puts __wrap_X in the
# place of X.
FAKED   := plx_topic_publish plx_topic_position plx_topic_since plx_topic_history plx_topic_latest plx_store_config plx_store_up plx_store_worker \
           plx_store_loop plx_feed_watch_start plx_feed_watch_stop plx_control_disconnect plx_control_unsubscribe \
           plx_store_refusal ev_timer_start
PRESENCE_FAKED := plx_presence_track plx_presence_untrack plx_presence_read plx_presence_held plx_owner_name \
           plx_owner_note plx_owner_forget plx_owner_sweep_start plx_roster_open plx_roster_close \
           plx_roster_wait_start plx_roster_wait_stop plx_roster_state
$(filter $(patsubst %,$(B)/unit/test_%,socket% track http_backend admin% api),$(UNITS)) \
  $(B)/fuzz/socket: LDFLAGS += $(FAKED:%=-Wl,--wrap=%) $(PRESENCE_FAKED:%=-Wl,--wrap=%)
# The same for the long-poll transport (tests/unit/lp_world.h), which needs more of it.
LP_FAKED := ev_timer_start ev_timer_stop plx_store_loop plx_store_config plx_store_worker plx_store_up \
            plx_store_watch_add plx_store_watch_remove plx_mailbox_set plx_control_set plx_mailbox_supersede \
            plx_session_sweep_start plx_session_poll plx_session_look plx_session_recall plx_session_post \
            plx_session_take plx_session_commit plx_session_renew plx_session_end plx_session_drop \
            plx_session_create plx_session_due_start plx_session_due_drain plx_session_due_busy plx_session_due_stop plx_session_unattended plx_topic_position plx_topic_since plx_topic_publish plx_feed_watch_start \
            plx_feed_watch_stop plx_feed_expect
$(patsubst %,$(B)/unit/test_lp_%,again connect info judge order poll presence wake work): \
  LDFLAGS += $(LP_FAKED:%=-Wl,--wrap=%) $(PRESENCE_FAKED:%=-Wl,--wrap=%)
# And for an application that answers hooks (tests/unit/fake_hook.h).
HOOK_FAKED := plx_hook_open plx_hook_close plx_hook_ask plx_hook_ask_for plx_question_cancel plx_hook_complain
$(patsubst %,$(B)/unit/test_%,auth_hook connect connect_asked lp_connect http_backend): \
  LDFLAGS += $(HOOK_FAKED:%=-Wl,--wrap=%)
$(B)/unit/test_backends $(B)/unit/test_socket_recorded $(B)/unit/test_kit $(B)/unit/test_kit_failures: | $(MODULES)

# Channel modules see the public headers only and find Pollux's functions in the program that loads
# them.
$(B)/modules/%.so: tests/backend/%.c $(B)/flags
	@mkdir -p $(@D)
	$(SAY) so $@
	$(QUIET)$(CC) $(CPPFLAGS) $(filter-out -fPIE,$(ALL_CFLAGS)) -fPIC -shared -MMD -MP $< -o $@

# The test kit for authors of modules: the channel core over a store in memory, in one object in
# which only what is public is visible. It must not want for anything of ours.
KIT     := $(B)/lib/libpollux-test.a
KITOBJS := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/kit/*.c))
KITLIBS := json-c libcrypto
VISIBLE := plx_channel_* plx_call_* plx_delivery_* plx_admission_* plx_object_* plx_slice_* plx_test_* plx_strerror
# Also what only a module calls comes out of the archive: every function of the public headers.
PAREN   := (
KITNEEDS := $(shell \
  sed -n 's/^[a-z][a-z_ ]* [*]*\(plx_[a-z_]*\)[$(PAREN)].*/\1/p' \
  channel/backend.h base/error.h | grep -v _cb)
$(KIT): $(KITOBJS) $(OBJS)
	@mkdir -p $(@D)
	$(SAY) kit $@
	$(QUIET)rm -f $@ $(@D)/core.a
	$(QUIET)$(AR) rc $(@D)/core.a $(filter $(B)/obj/base/% $(B)/obj/channel/% $(B)/obj/store/event.o $(B)/obj/store/reply.o,$(filter-out $(B)/obj/channel/cli/%,$(OBJS)))
	$(QUIET)$(LD) -r $(KITNEEDS:%=-u %) -o $(@D)/kit.o $(KITOBJS) $(@D)/core.a
	@! nm -u $(@D)/kit.o | grep -w 'plx_[a-z_]*' || { echo "the test kit lacks these" >&2; exit 1; }
	$(QUIET)objcopy -w $(VISIBLE:%=--keep-global-symbol='%') $(@D)/kit.o
	$(QUIET)$(AR) rc $@ $(@D)/kit.o
$(B)/unit/test_kit $(B)/unit/test_kit_failures: $(B)/unit/%: $(B)/obj/tests/unit/%.o $(KIT)
	@mkdir -p $(@D)
	$(SAY) ld $@
	$(QUIET)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ $(shell pkg-config --libs $(KITLIBS)) -lcmocka -o $@

# Without libFuzzer (FUZZ=1) a fuzz target replays the inputs that it is given.
$(B)/fuzz/%: $(B)/obj/tests/fuzz/fuzz_%.o $(if $(FUZZ),,$(B)/obj/tests/fuzz/replay.o) $(OBJS)
	@mkdir -p $(@D)
	$(SAY) ld $@
	$(QUIET)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

units: $(UNITS)
units-fcgi: $(filter $(B)/unit/test_fcgi_%,$(UNITS))
fuzzers: $(FUZZERS)

-include $(shell find $(B) -name '*.d' 2>/dev/null)

# ---- trying it, and what that needs ----

# What is missing is installed before a second make looks for the libraries. Only the line "ready URL"
# goes to stdout.
PARALLEL = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))
run: ## try it: installs what it lacks, builds, serves a chat room (PORT=4000 to choose the port)
	@conf/install-deps.sh run >&2
	@$(MAKE) --no-print-directory $(PARALLEL) all deps-demo >&2
	@exec $(B)/bin/pollux dev $(if $(PORT),--port $(PORT)) $(ARGS)

example: ## try an example (NAME=php perl python game; SERVER=nginx PORT=8000 to choose)
	@conf/install-deps.sh examples >&2
	@$(MAKE) --no-print-directory $(PARALLEL) all deps-demo >&2
	@exec conf/examples/run.sh "$(NAME)" $(if $(SERVER),--server $(SERVER)) $(if $(PORT),--port $(PORT))

deps: ## install the Debian packages that building, running and testing need
	@conf/install-deps.sh test

deps-dev:
	@conf/install-deps.sh dev

deps-demo: conf/demo/node_modules/.package-lock.json; @:
deps-node: deps-demo tests/node_modules/.package-lock.json ## install what comes from npm, pinned
	@:

# npm writes the hidden file last; it is older than the lock file when that has changed since.
%/node_modules/.package-lock.json: %/package-lock.json
	@echo "npm: installing what $*/package-lock.json pins" >&2
	@cd $* && npm ci --no-audit --no-fund --loglevel=error || \
	  { echo "npm: that failed; is there a network?" >&2; exit 1; }
	@touch $@

# ---- proving it ----

test: ## prove it: installs what it lacks, builds every variant, runs every test
	@conf/install-deps.sh test
	@$(MAKE) --no-print-directory deps-node
	@tests/all.sh

check: all units ## quick check of a change: release build, unit tests, lint
	@tests/run.sh -b $(B) unit
	@tests/lint.sh

unit: units $(MODULES) ## unit tests alone (SAN=address,undefined for the sanitizers)
	@tests/run.sh -b $(B) unit

integration: all deps-node ## integration tests alone, of one build (SUITES="fcgi longpoll" for some)
	@tests/run.sh -b $(B) $(SUITES)

lint: ## house rules: layers, headers, sizes, format
	@tests/lint.sh

tidy: deps-dev ## clang-tidy's opinion (FILES="base/buf.c" for some; takes minutes)
	@clang-tidy --quiet $(or $(FILES),$(SRCS)) -- -std=c11 $(CPPFLAGS)

format: deps-dev ## bring every tracked .c and .h file into the house's format
	@git ls-files '*.c' '*.h' | xargs clang-format -i

fuzz: deps-dev ## fuzz with clang (TARGET=json_scan for one, SECONDS=60 for each)
	@$(MAKE) --no-print-directory $(PARALLEL) FUZZ=1 fuzzers
	@tests/fuzz.sh "$(or $(SECONDS),60)" $(TARGET)

bench: all deps-node ## measure: memory, latency (TARGET=name for one)
	@tests/bench.sh $(B) $(TARGET)

coverage: deps ## which lines the tests run, by file (SUITES="unit fcgi" for some)
	@$(MAKE) --no-print-directory $(PARALLEL) COV=1 all units fuzzers deps-node
	@tests/coverage.sh build/coverage $(SUITES)

# ---- installing ----

SHARE   := $(DESTDIR)$(PREFIX)/share/pollux
DOC     := $(DESTDIR)$(PREFIX)/share/doc/pollux
UNITDIR := $(DESTDIR)$(PREFIX)/lib/systemd/system
INCLUDE := $(DESTDIR)$(PREFIX)/include/pollux
PAGE    := $(addprefix conf/demo/,index.html style.css dark.css boot.js chat.js connection.js view.js)
# The headers for channel modules, installed side by side: their includes are made to say so.
PUBLIC  := channel/backend.h base/slice.h base/error.h tests/kit/test.h
PCFILES := pollux-module.pc pollux-test.pc
FLATTEN := sed 's|^\#include "[a-z/]*/\([a-z_]*\.h\)"|\#include "\1"|'
ABI     := $(shell sed -n 's/^\#define PLX_BACKEND_ABI //p' channel/backend.h)
PCDIR   := $(DESTDIR)$(PREFIX)/lib/pkgconfig
MODDIR  := $(DESTDIR)$(PREFIX)/lib/pollux

install: $(PROGRAMS) $(PUBLISH) $(KIT) ## install under PREFIX (/usr/local), below DESTDIR if given
	install -d $(DESTDIR)$(PREFIX)/bin $(SHARE)/demo $(DOC) $(UNITDIR) $(INCLUDE) $(PCDIR) $(MODDIR)
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	install -m 644 conf/demo.conf $(PUBLISH) store/lua/public/control.lua store/lua/public/info.lua $(SHARE)
	install -m 644 $(PAGE) $(wildcard conf/demo/node_modules/phoenix/priv/static/phoenix.mjs) $(SHARE)/demo
	@[ -e conf/demo/node_modules/phoenix ] || \
	  echo "The demonstration page is incomplete: it takes phoenix.js from npm (make deps-demo install)." >&2
	for f in $(PUBLIC); do \
	  $(FLATTEN) $$f > $(INCLUDE)/$${f##*/} && chmod 644 $(INCLUDE)/$${f##*/} || exit 1; done
	install -m 644 $(KIT) $(DESTDIR)$(PREFIX)/lib
	for f in $(PCFILES); do \
	  sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|; s|@ABI@|$(ABI)|' conf/$$f.in > $(PCDIR)/$$f && chmod 644 $(PCDIR)/$$f || exit 1; done
	install -m 644 conf/pollux.conf.example README.md LICENSE $(DOC)
	for s in lighttpd nginx apache; do install -m 644 conf/$$s/pollux.conf $(DOC)/$$s.conf || exit 1; done
	install -m 644 conf/nginx/pollux-upstream.conf $(DOC)/nginx-upstream.conf
	tar -C conf --mode=a+rX,u+w --exclude=run.sh --exclude='*.so' --exclude=game_test --exclude=node_modules -cf - examples | \
	  tar -C $(DOC) --no-same-owner -xf -
	for u in conf/systemd/*.service; do \
	  sed 's|/usr/local/|$(PREFIX)/|g' $$u > $(UNITDIR)/$${u##*/} && chmod 644 $(UNITDIR)/$${u##*/} || exit 1; done

uninstall: ## remove what install put there
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/bin/,$(notdir $(PROGRAMS))) \
	  $(addprefix $(UNITDIR)/,$(notdir $(wildcard conf/systemd/*.service))) \
	  $(PCFILES:%=$(PCDIR)/%) $(DESTDIR)$(PREFIX)/lib/$(notdir $(KIT))
	rm -rf $(SHARE) $(DOC) $(INCLUDE)
	-rmdir $(MODDIR) 2>/dev/null # what others have put there stays

clean: ## remove everything that was built
	rm -rf build
