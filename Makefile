# Pollux: `make run` shows it, `make test` proves it, `make help` lists the rest.

SHELL   := /bin/bash
CC      ?= cc
VARIANT := $(if $(SAN),san-$(subst $(comma),-,$(SAN)),release)
comma   := ,
B       := build/$(VARIANT)
VERSION := 0.1.0
PREFIX  ?= /usr/local

PKGS    := hiredis json-c libcrypto zlib
CPPFLAGS += -I. -I$(B)/gen -D_GNU_SOURCE -DPLX_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PKGS) libconfuse 2>/dev/null)
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2
CFLAGS  ?= -O2 -g
HARDEN  := -fstack-protector-strong -fPIE -fno-plt
LDHARD  := -pie -Wl,-z,relro -Wl,-z,now
ifdef SAN
CFLAGS  := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
LDFLAGS += -fsanitize=$(SAN)
else
CPPFLAGS += -D_FORTIFY_SOURCE=2
endif
ifdef CI
WARN    += -Werror
endif
ALL_CFLAGS = -std=c11 $(CFLAGS) $(WARN) $(HARDEN) $(EXTRA_CFLAGS)
LDLIBS  := $(shell pkg-config --libs $(PKGS) libconfuse 2>/dev/null) -lev -lfcgi -ldl -lpthread -lm
LDFLAGS += $(LDHARD) -rdynamic

# Every .c file belongs to the library but for the programs' mains.
MAINS   := fcgi/main.c transport/ws_main.c channel/cli/main.c
SRCS    := $(filter-out $(MAINS),$(wildcard base/*.c store/*.c channel/*.c channel/cli/*.c transport/*.c fcgi/*.c))
OBJS    := $(SRCS:%.c=$(B)/obj/%.o)
LUA     := $(wildcard store/lua/*.lua)
PROGRAMS := $(B)/bin/pollux-fcgi $(B)/bin/pollux-ws $(B)/bin/pollux
UNITS   := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))
MODULES := $(patsubst tests/backend/%.c,$(B)/modules/%.so,$(wildcard tests/backend/*.c))

.DEFAULT_GOAL := all
.PHONY: all help run test unit integration check lint format fuzz bench coverage install uninstall clean deps deps-node deps-demo
.SECONDARY:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

all: $(PROGRAMS) $(MODULES) ## build the programs into build/release/bin

# The Lua scripts are ordinary files; the build wraps each into a C string.
$(B)/gen/store/lua.inc: $(LUA) Makefile
	@mkdir -p $(@D)
	@for f in $(LUA); do n=$$(basename $$f .lua); \
	  printf 'static const char plx_lua_%s[] =\n' "$$n"; \
	  sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$$/\\n"/' $$f; printf '    ;\n'; done > $@

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@
$(B)/obj/store/script.o: $(B)/gen/store/lua.inc

$(B)/bin/pollux-fcgi: $(B)/obj/fcgi/main.o $(OBJS)
$(B)/bin/pollux-ws: $(B)/obj/transport/ws_main.o $(OBJS)
$(B)/bin/pollux: $(B)/obj/channel/cli/main.o $(OBJS)
$(PROGRAMS):
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(B)/unit/%: $(B)/obj/tests/unit/%.o $(OBJS)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -lcmocka -o $@

# Unit tests that stand in for the store (tests/unit/fake_store.h): the linker puts __wrap_X in the
# place of X.
FAKED   := plx_topic_publish plx_topic_position plx_store_config plx_store_up plx_store_worker \
           plx_store_loop plx_feed_watch_start plx_feed_watch_stop plx_control_disconnect \
           ev_timer_start
$(patsubst %,$(B)/unit/test_%,socket socket_async socket_recorded admin api): \
  LDFLAGS += $(FAKED:%=-Wl,--wrap=%)
$(B)/unit/test_backends $(B)/unit/test_socket_recorded: | $(MODULES)

# Channel modules see the public headers only and find Pollux's functions in the program that loads
# them.
$(B)/modules/%.so: tests/backend/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(filter-out -fPIE,$(ALL_CFLAGS)) -fPIC -shared -MMD -MP $< -o $@

-include $(shell find $(B) -name '*.d' 2>/dev/null)

# ---- trying it, and what that needs ----

# What is missing is installed before a second make looks for the libraries.
run: ## try it: installs what it lacks, builds, serves a chat room (PORT=4000 to choose the port)
	@conf/install-deps.sh run
	@$(MAKE) --no-print-directory all deps-demo
	@exec $(B)/bin/pollux dev $(if $(PORT),--port $(PORT)) $(ARGS)

deps: ## install the Debian packages that building, running and testing need
	@conf/install-deps.sh test

deps-demo: conf/demo/node_modules/.package-lock.json
deps-node: deps-demo tests/node_modules/.package-lock.json ## install what comes from npm, pinned

# npm writes the hidden file last; it is older than the lock file when that has changed since.
%/node_modules/.package-lock.json: %/package-lock.json
	@echo "npm: installing what $*/package-lock.json pins" >&2
	@cd $* && npm ci --no-audit --no-fund --loglevel=error || \
	  { echo "npm: that failed; is there a network?" >&2; exit 1; }
	@touch $@

# ---- installing ----

SHARE   := $(DESTDIR)$(PREFIX)/share/pollux
DOC     := $(DESTDIR)$(PREFIX)/share/doc/pollux
UNITDIR := $(DESTDIR)$(PREFIX)/lib/systemd/system
INCLUDE := $(DESTDIR)$(PREFIX)/include/pollux
PAGE    := $(addprefix conf/demo/,index.html style.css dark.css boot.js chat.js connection.js view.js)
PUBLIC  := channel/backend.h base/slice.h

install: $(PROGRAMS) ## install under PREFIX (/usr/local), below DESTDIR if given
	install -d $(DESTDIR)$(PREFIX)/bin $(SHARE)/demo $(DOC) $(UNITDIR) $(INCLUDE)/channel $(INCLUDE)/base
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	install -m 644 conf/demo.conf $(SHARE)
	install -m 644 $(PAGE) $(wildcard conf/demo/node_modules/phoenix/priv/static/phoenix.mjs) $(SHARE)/demo
	for f in $(PUBLIC); do install -m 644 $$f $(INCLUDE)/$$f || exit 1; done
	install -m 644 conf/pollux.conf.example README.md LICENSE $(DOC)
	for s in lighttpd nginx apache; do install -m 644 conf/$$s/pollux.conf $(DOC)/$$s.conf || exit 1; done
	for u in conf/systemd/*.service; do \
	  sed 's|/usr/local/|$(PREFIX)/|g' $$u > $(UNITDIR)/$${u##*/} && chmod 644 $(UNITDIR)/$${u##*/} || exit 1; done

uninstall: ## remove what install put there
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/bin/,$(notdir $(PROGRAMS))) \
	  $(addprefix $(UNITDIR)/,$(notdir $(wildcard conf/systemd/*.service)))
	rm -rf $(SHARE) $(DOC) $(INCLUDE)

unit: $(UNITS) ## unit tests alone
	@set -e; for t in $(UNITS); do $$t 2> $$t.log || { cat $$t.log; echo "FAILED: $$t"; exit 1; }; grep -E 'PASSED|tests' $$t.log | tail -1 | sed "s|^|$$(basename $$t): |"; done

clean: ## remove everything that was built
	rm -rf build
