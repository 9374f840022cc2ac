/* The crypto glue against published values (FIPS 180-4, RFC 4231, RFC 6455, and the PBKDF2 ones of
 * RFC 7914 section 11 and others recomputed with Python's hashlib). */
#include "base/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define LIT(s) plx_slice_make((s), sizeof(s) - 1)

static void expect_hex(const uint8_t *bytes, size_t len, const char *hex)
{
    char got[2 * 128 + 1];
    assert_true(len <= 128);
    for (size_t i = 0; i < len; i++)
        snprintf(got + 2 * i, 3, "%02x", bytes[i]);
    assert_string_equal(got, hex);
}

static void digest_lengths(void **state)
{
    (void)state;
    assert_int_equal(plx_digest_len(PLX_SHA256), 32);
    assert_int_equal(plx_digest_len(PLX_SHA384), 48);
    assert_int_equal(plx_digest_len(PLX_SHA512), PLX_DIGEST_MAX);
}

static void hashes(void **state)
{
    (void)state;
    uint8_t out[PLX_DIGEST_MAX];
    plx_hash(PLX_SHA256, LIT("abc"), out);
    expect_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    plx_hash(PLX_SHA256, plx_slice_of(NULL), out);
    expect_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    plx_hash(PLX_SHA384, LIT("abc"), out);
    expect_hex(out, 48,
               "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
               "8086072ba1e7cc2358baeca134c825a7");
    plx_hash(PLX_SHA512, LIT("abc"), out);
    expect_hex(out, 64,
               "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
               "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
    plx_sha1(LIT("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11"), out);
    expect_hex(out, 20, "b37a4f2cc0624f1690f64606cf385945b2bec4ea"); /* RFC 6455 1.3 */
}

static void hmacs(void **state)
{
    (void)state;
    uint8_t out[PLX_DIGEST_MAX];
    char long_key[131];
    memset(long_key, 0xAA, sizeof long_key);
    plx_slice what = LIT("what do ya want for nothing?");
    plx_hmac(PLX_SHA256, LIT("Jefe"), what, out);
    expect_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    plx_hmac(PLX_SHA384, LIT("Jefe"), what, out);
    expect_hex(out, 48,
               "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
               "8e2240ca5e69e2c78b3239ecfab21649");
    plx_hmac(PLX_SHA512, LIT("Jefe"), what, out);
    expect_hex(out, 64,
               "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
               "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737");
    plx_hmac(PLX_SHA256, plx_slice_make(long_key, sizeof long_key),
             LIT("Test Using Larger Than Block-Size Key - Hash Key First"), out);
    expect_hex(out, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    plx_hmac(PLX_SHA256, plx_slice_of(NULL), plx_slice_of(NULL), out);
    expect_hex(out, 32, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
    /* What is kept from one call to the next is neither the key nor the text. */
    plx_hmac(PLX_SHA256, LIT("Jefe"), what, out);
    expect_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    plx_hmac(PLX_SHA256, LIT("Jefe"), what, out);
    expect_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void pbkdf2(void **state)
{
    (void)state;
    uint8_t out[70];
    plx_pbkdf2(PLX_SHA256, LIT("password"), LIT("salt"), 1, out, 32);
    expect_hex(out, 32, "120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b");
    plx_pbkdf2(PLX_SHA256, LIT("password"), LIT("salt"), 4096, out, 32);
    expect_hex(out, 32, "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a");
    plx_pbkdf2(PLX_SHA512, LIT("passwordPASSWORDpassword"),
               LIT("saltSALTsaltSALTsaltSALTsaltSALTsalt"), 100, out, 70);
    expect_hex(out, 70,
               "eadc4d79ba411a9a482f12908081c724b9e8189b29270968541ce9bf0620d5fa"
               "58ed6b8d6702990fb7530ec6e1c16b5c2b8e648596c69b8f7fd5c14050b0574d"
               "a50b26b54b8f");
    plx_pbkdf2(PLX_SHA384, plx_slice_of(NULL), plx_slice_of(NULL), 2, out, 48);
    expect_hex(out, 48,
               "4e2b9109c23c305fc5c1d1e167741a52e9ebfd0805ff8662b323fd1169034a8c"
               "b3f626b2b97825d67adcc4183d30a062");
}

static void random_differs(void **state)
{
    (void)state;
    uint8_t a[32], b[32];
    plx_random(a, sizeof a);
    plx_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    plx_random(a, 0);
}

/* Two workers forked from one parent must not draw the same ids. */
static void random_differs_after_fork(void **state)
{
    (void)state;
    int fds[2];
    char ours[33], theirs[33];
    plx_random_id(ours, 32);
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        plx_random_id(theirs, 32);
        _exit(write(fds[1], theirs, sizeof theirs) == sizeof theirs ? 0 : 1);
    }
    plx_random_id(ours, 32);
    assert_int_equal(read(fds[0], theirs, sizeof theirs), sizeof theirs);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(fds[0]);
    close(fds[1]);
    assert_string_not_equal(ours, theirs);
}

static void random_below_is_uniform(void **state)
{
    (void)state;
    unsigned counts[3] = {0};
    for (int i = 0; i < 30000; i++) {
        uint32_t n = plx_random_below(3);
        assert_true(n < 3);
        counts[n]++;
    }
    /* Standard deviation 82: further off than 8 of them happens never. */
    for (int i = 0; i < 3; i++)
        assert_in_range(counts[i], 10000 - 656, 10000 + 656);
    assert_int_equal(plx_random_below(1), 0);

    /* 3 * 2^30: without drawing again, the lowest third would come up half of the time. */
    unsigned low = 0;
    for (int i = 0; i < 30000; i++)
        low += plx_random_below(3u << 30) < 1u << 30;
    assert_in_range(low, 10000 - 656, 10000 + 656);
}

static void random_ids(void **state)
{
    (void)state;
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    bool seen[256] = {false};
    char id[65];
    for (int round = 0; round < 100; round++) {
        for (size_t n = 0; n <= 64; n += 16) {
            memset(id, '!', sizeof id);
            plx_random_id(id, n);
            assert_int_equal(strlen(id), n);
            for (size_t i = 0; i < n; i++)
                seen[(unsigned char)id[i]] = true;
        }
    }
    for (int c = 1; c < 256; c++)
        assert_int_equal(seen[c], strchr(letters, c) != NULL);
}

static void equal_secret(void **state)
{
    (void)state;
    assert_true(plx_equal_secret(LIT("secret"), LIT("secret")));
    assert_false(plx_equal_secret(LIT("secret"), LIT("secreT")));
    assert_false(plx_equal_secret(LIT("secret"), LIT("Secret")));
    assert_false(plx_equal_secret(LIT("secret"), LIT("secre")));
    assert_false(plx_equal_secret(LIT(""), LIT("s")));
    assert_true(plx_equal_secret(plx_slice_of(NULL), LIT("")));
    assert_false(plx_equal_secret(LIT("a\0b"), LIT("a\0c")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest_lengths),
        cmocka_unit_test(hashes),
        cmocka_unit_test(hmacs),
        cmocka_unit_test(pbkdf2),
        cmocka_unit_test(random_differs),
        cmocka_unit_test(random_differs_after_fork),
        cmocka_unit_test(random_below_is_uniform),
        cmocka_unit_test(random_ids),
        cmocka_unit_test(equal_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
