#!/usr/bin/env python3
"""Tokens made without any code of Pollux: Python's standard library, and openssl for public keys.

Prints one line for each: TYPE, VERDICT, NAME, TOKEN, CLAIMS, separated by tabs. VERDICT: ok, or why it
is to be refused: invalid (malformed, or not signed by the key), denied (genuine, but its content is not
acceptable), expired, long. CLAIMS: the JSON that an accepted one must give, byte for byte. Lines of
type `pem` are keys: NAME, the text with its line breaks as "|". Everything is valid at NOW.

    foreign_tokens.py KEY OLD_KEY SALT
"""
import base64
import hashlib
import hmac
import json
import struct
import subprocess
import sys
import tempfile

NOW = 1700000000
KEY, OLD, SALT = (a.encode() for a in sys.argv[1:4])
DIGESTS = {'HS256': hashlib.sha256, 'HS384': hashlib.sha384, 'HS512': hashlib.sha512}


def say(kind, verdict, name, token, claims=''):
    if isinstance(token, bytes):
        token = token.decode('latin-1')
    assert not any(c in token for c in '\t\n\r\0'), name
    print(kind, verdict, name, token, claims, sep='\t')


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=')


# ---- tickets ----

def ticket(text, key=KEY, encode=b64):
    part = encode(text if isinstance(text, bytes) else text.encode())
    return part + b'.' + hmac.new(key, part, hashlib.sha256).hexdigest().encode()


def nested(depth):
    return '{"exp":%d,"a":%s%s}' % (NOW + 60, '[' * depth, ']' * depth)


def tickets():
    good = '{"exp":%d,"user_id":42,"join":["room:*"]}' % (NOW + 60)
    genuine = ticket(good)
    text, mac = genuine.split(b'.')

    def ok(name, claims, **how):
        say('ticket', 'ok', name, ticket(claims, **how), claims.strip())

    ok('plain', good)
    ok('padded', good + ' ', encode=base64.urlsafe_b64encode)
    ok('padded, the other lengths', good + '  ', encode=base64.urlsafe_b64encode)
    ok('standard alphabet', '{"exp":%d,"a":"\u00ff\u00fe??>>~~"}' % (NOW + 60), encode=base64.b64encode)
    ok('previous key', good, key=OLD)
    ok('numbers as they are', '{"exp":%d.50e0,"n":123456789012345678901234567890,"f":1.50}' % (NOW + 1))
    ok('last millisecond', '{"exp":%d.001}' % NOW)
    ok('far away', '{"exp":253402300799}')
    ok('white space', ' \n{ "exp" : %d }\r ' % (NOW + 60))
    ok('deep', nested(99))
    ok('twins further in', '{"exp":%d,"a":{"b":1,"b":2}}' % (NOW + 60))
    ok('odd capabilities are no business of the signature', '{"exp":%d,"join":7}' % (NOW + 60))

    def bad(name, token, verdict='invalid'):
        say('ticket', verdict, name, token)

    bad('no dot', text)
    bad('no signature', text + b'.')
    bad('no text', b'.' + hmac.new(KEY, b'', hashlib.sha256).hexdigest().encode())
    bad('only a dot', '.')
    bad('two dots', genuine + b'.')
    bad('a third part', genuine + b'.' + mac)
    bad('a dot before', b'.' + genuine)
    bad('upper-case hex', text + b'.' + mac.upper())
    bad('base64 signature', text + b'.' + b64(hmac.new(KEY, text, hashlib.sha256).digest()))
    bad('another key', ticket(good, key=b'x' * 32))
    bad('the empty key', ticket(good, key=b''))
    bad('key in hex', ticket(good, key=KEY.hex().encode()))
    bad('the JSON signed instead of its base64', text + b'.' + hmac.new(KEY, good.encode(), hashlib.sha256).hexdigest().encode())
    bad('hash without key', text + b'.' + hashlib.sha256(text).hexdigest().encode())
    bad('hash of key and text', text + b'.' + hashlib.sha256(KEY + text).hexdigest().encode())
    bad('SHA-1', text + b'.' + hmac.new(KEY, text, hashlib.sha1).hexdigest().encode())
    bad('SHA-512', text + b'.' + hmac.new(KEY, text, hashlib.sha512).hexdigest().encode())
    bad('SHA-512 cut', text + b'.' + hmac.new(KEY, text, hashlib.sha512).hexdigest()[:64].encode())
    bad('signature of another ticket', text + b'.' + ticket(good + ' ').split(b'.')[1])
    bad('text of another ticket', ticket(good + ' ').split(b'.')[0] + b'.' + mac)
    bad('padding added afterwards', text + b'=.' + mac)
    bad('space before', b' ' + genuine)
    bad('space behind', genuine + b' ')
    bad('signature too long', genuine + b'0')
    bad('signature too short', genuine[:-1])
    bad('zeros', text + b'.' + b'0' * 64)
    bad('no base64', ticket(good, encode=lambda t: t))
    bad('bad padding', ticket(good, encode=lambda t: b64(t) + b'==='))
    bad('bits behind the end', ticket(b'{"exp":%d}' % (NOW + 60) + b' ' * 2, encode=lambda t: b64(t)[:-1] + b'B'))
    bad('too long', ticket('{"exp":%d,"a":"%s"}' % (NOW + 60, 'x' * 6200)), 'long')
    bad('expired', ticket('{"exp":%d}' % (NOW - 1)), 'expired')
    bad('expires this millisecond', ticket('{"exp":%d}' % NOW), 'expired')
    bad('expired in 1970', ticket('{"exp":0}'), 'expired')
    bad('expired before', ticket('{"exp":-1e300}'), 'expired')
    bad('expired under the previous key', ticket('{"exp":%d}' % (NOW - 1), key=OLD), 'expired')
    for name, content in [
            ('no exp', '{"user_id":1}'), ('empty object', '{}'), ('exp in capitals', '{"EXP":%d}' % (NOW + 60)),
            ('exp inside', '{"a":{"exp":%d}}' % (NOW + 60)), ('exp null', '{"exp":null}'),
            ('exp a string', '{"exp":"%d"}' % (NOW + 60)), ('exp true', '{"exp":true}'),
            ('exp in milliseconds', '{"exp":%d}' % ((NOW + 60) * 1000)), ('exp without end', '{"exp":1e300}'),
            ('the year 10000', '{"exp":253402300800}'),
            ('exp an array', '{"exp":[%d]}' % (NOW + 60)), ('exp infinite', '{"exp":1e999}'),
            ('exp NaN', '{"exp":NaN}'), ('exp hexadecimal', '{"exp":0x7fffffff}'), ('exp with a plus', '{"exp":+9999999999}'),
            ('exp twice', '{"exp":%d,"exp":%d}' % (NOW + 60, NOW - 60)),
            ('exp twice, once escaped', '{"exp":%d,"\\u0065xp":%d}' % (NOW - 60, NOW + 60)),
            ('a name twice', '{"exp":%d,"a":1,"a":2}' % (NOW + 60)),
            ('an array', '[%d]' % (NOW + 60)), ('a string', '"exp"'), ('a number', '%d' % (NOW + 60)), ('null', 'null'),
            ('nothing but space', ' '), ('no JSON', 'exp=%d' % (NOW + 60)), ('cut', good[:-1]), ('more behind', good + '{}'),
            ('a comma too many', good[:-1] + ',}'), ('a comment', good + '/**/'), ('single quotes', good.replace('"', "'")),
            ('too deep', nested(100)), ('half a surrogate', '{"exp":%d,"a":"\\ud800"}' % (NOW + 60)),
            ('control character', '{"exp":%d,"a":"\x01"}' % (NOW + 60)),
            ('byte order mark', b'\xef\xbb\xbf' + good.encode()), ('not UTF-8', b'{"exp":%d,"a":"\xff"}' % (NOW + 60)),
            ('a NUL behind', good.encode() + b'\0')]:
        bad(name, ticket(content), 'denied')
    return genuine


# ---- JWT ----

def run(*args, data=None):
    return subprocess.run(['openssl', *args], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout


class Keys:
    """Private keys in files of a directory that goes away."""

    def __init__(self, place):
        self.place = place
        self.make('rsa', 'RSA', 'rsa_keygen_bits:2048')
        self.make('rsa2', 'RSA', 'rsa_keygen_bits:2048')
        self.make('rsa_weak', 'RSA', 'rsa_keygen_bits:1024')
        self.make('p256', 'EC', 'ec_paramgen_curve:P-256')
        self.make('k256', 'EC', 'ec_paramgen_curve:secp256k1')
        self.make('p384', 'EC', 'ec_paramgen_curve:P-384')
        for name in ['rsa', 'rsa2', 'rsa_weak', 'p256', 'k256', 'p384']:
            say('pem', 'ok', name, self.public(name).decode().replace('\n', '|'))
        say('pem', 'ok', 'rsa_private', self.text('rsa').decode().replace('\n', '|'))
        say('pem', 'ok', 'p256_private', self.text('p256').decode().replace('\n', '|'))

    def path(self, name):
        return '%s/%s.pem' % (self.place, name)

    def make(self, name, kind, option):
        run('genpkey', '-algorithm', kind, '-pkeyopt', option, '-out', self.path(name))

    def text(self, name):
        with open(self.path(name), 'rb') as f:
            return f.read()

    def public(self, name):
        return run('pkey', '-in', self.path(name), '-pubout')

    def sign(self, name, data, width=0):
        """RSA's bytes; of ECDSA r and s, `width` bytes each, out of the DER that openssl gives."""
        der = run('dgst', '-sha256', '-sign', self.path(name), data=data)
        if not width:
            return der
        at, out = 2, b''
        for _ in range(2):
            n = der[at + 1]
            out += der[at + 2:at + 2 + n].lstrip(b'\0').rjust(width, b'\0')
            at += 2 + n
        return out


def signed_text(header, payload):
    return b64(header.encode()) + b'.' + b64(payload if isinstance(payload, bytes) else payload.encode())


def jwt(payload, alg='HS256', key=KEY, header=None, digest=None):
    text = signed_text(header or '{"alg":"%s","typ":"JWT"}' % alg, payload)
    return text + b'.' + b64(hmac.new(key, text, DIGESTS[digest or alg]).digest())


def jwts(keys):
    party = '"iss":"https://login.example","aud":"pollux"'
    good = '{%s,"exp":%d,"sub":"42"}' % (party, NOW + 60)
    genuine = jwt(good)
    head, body, mac = genuine.split(b'.')

    def ok(name, claims, token=None, kind='jwt'):
        say(kind, 'ok', name, token or jwt(claims), claims.strip())

    ok('HS256', good)
    ok('HS384', good, jwt(good, 'HS384'))
    ok('HS512', good, jwt(good, 'HS512'))
    ok('previous key', good, jwt(good, key=OLD))
    ok('no typ', good, jwt(good, header='{"alg":"HS256"}'))
    ok('typ in small letters', good, jwt(good, header='{"typ":"jwt","alg":"HS256"}'))
    ok('alg escaped', good, jwt(good, header='{"alg":"\\u0048S256"}'))
    ok('a kid that is a path', good, jwt(good, header='{"alg":"HS256","kid":"../../dev/null"}'))
    ok('no exp', '{%s}' % party)
    ok('spelling stays', '{ %s ,"b":1.50,"a":9007199254740993,"exp":%d.5e0}\n' % (party, NOW + 60))
    ok('audience in a list', '{"iss":"https://login.example","aud":["x","pollux"]}')
    ok('nbf now', '{%s,"nbf":%d}' % (party, NOW))
    ok('last millisecond', '{%s,"exp":%d.0001}' % (party, NOW))
    text = signed_text('{"alg":"RS256"}', good)
    rs = text + b'.' + b64(keys.sign('rsa', text))
    ok('RS256', good, rs, 'jwt-rsa')
    text = signed_text('{"alg":"ES256"}', good)
    es = text + b'.' + b64(keys.sign('p256', text, 32))
    ok('ES256', good, es, 'jwt-ec')

    def bad(name, token, verdict='invalid', kind='jwt'):
        say(kind, verdict, name, token)

    for alg in ['none', 'None', 'NONE', 'nOnE', '']:
        text = signed_text('{"alg":"%s"}' % alg, good)
        bad('alg "%s"' % alg, text + b'.')
        bad('alg "%s" with a signature' % alg, jwt(good, header='{"alg":"%s"}' % alg))
    bad('no signature', head + b'.' + body + b'.')
    bad('no signature and no dot', head + b'.' + body)
    for name, header in [
            ('no alg', '{"typ":"JWT"}'), ('alg null', '{"alg":null}'), ('alg a number', '{"alg":256}'), ('alg true', '{"alg":true}'),
            ('alg in a list', '{"alg":["HS256"]}'), ('alg in small letters', '{"alg":"hs256"}'), ('alg with space', '{"alg":"HS256 "}'),
            ('alg twice', '{"alg":"none","alg":"HS256"}'), ('alg twice, once escaped', '{"alg":"HS256","\\u0061lg":"none"}'),
            ('crit', '{"alg":"HS256","crit":["exp"]}'), ('another typ', '{"alg":"HS256","typ":"JOSE"}'),
            ('b64 false', '{"alg":"HS256","b64":false,"crit":["b64"]}'), ('header an array', '["HS256"]'), ('header no JSON', 'alg=HS256'),
            ('header cut', '{"alg":"HS256"'), ('header NUL', '{"alg":"HS256\\u0000"}'), ('header is deep', '{"alg":"HS256","a":%s}' % ('[' * 200 + ']' * 200))]:
        bad(name, jwt(good, header=header))
    bad('HS256 named HS512', jwt(good, header='{"alg":"HS512"}'))
    bad('RS256 where HS is configured', rs)
    bad('another key', jwt(good, key=b'x' * 32))
    bad('the empty key', jwt(good, key=b''))
    bad('key in base64', jwt(good, key=base64.b64encode(KEY)))
    bad('zeros', head + b'.' + body + b'.' + b64(bytes(32)))
    bad('signature in hex', head + b'.' + body + b'.' + hmac.new(KEY, head + b'.' + body, hashlib.sha256).hexdigest().encode())
    bad('signature of another token', head + b'.' + body + b'.' + jwt(good + ' ').split(b'.')[2])
    bad('payload of another token', head + b'.' + jwt(good + ' ').split(b'.')[1] + b'.' + mac)
    bad('padding', genuine + b'=')
    bad('four parts', genuine + b'.' + mac)
    bad('five parts (encrypted)', b'.'.join([head, b'', body, body, mac]))
    bad('space behind', genuine + b' ')
    bad('Bearer', b'Bearer ' + genuine)
    bad('only dots', b'..')
    bad('standard alphabet', b'.'.join([head, body, mac.replace(b'-', b'+').replace(b'_', b'/') if set(mac) & set(b'-_') else mac + b'+']))
    bad('JSON serialization', json.dumps({'protected': head.decode(), 'payload': body.decode(), 'signature': mac.decode()}))
    bad('too long', jwt('{%s,"a":"%s"}' % (party, 'x' * 6200)), 'long')
    for name, payload in [('an array', '[]'), ('a name twice', '{%s,"a":1,"a":2}' % party),
                          ('exp twice', '{%s,"exp":%d,"exp":1}' % (party, NOW + 60)), ('exp a string', '{%s,"exp":"%d"}' % (party, NOW + 60)),
                          ('exp null', '{%s,"exp":null}' % party), ('exp true', '{%s,"exp":true}' % party), ('nbf a string', '{%s,"nbf":"1"}' % party),
                          ('nbf in the future', '{%s,"nbf":%d.001}' % (party, NOW)), ('nbf far away', '{%s,"nbf":1e300}' % party),
                          ('no iss', '{"aud":"pollux"}'), ('another iss', '{"aud":"pollux","iss":"https://login.example/"}'),
                          ('iss a list', '{"aud":"pollux","iss":["https://login.example"]}'), ('iss cut', '{"aud":"pollux","iss":"https://login"}'),
                          ('no aud', '{"iss":"https://login.example"}'), ('another aud', '{"iss":"https://login.example","aud":"Pollux"}'),
                          ('aud elsewhere', '{"iss":"https://login.example","aud":["x"]}'), ('aud empty', '{"iss":"https://login.example","aud":[]}'),
                          ('aud an object', '{"iss":"https://login.example","aud":{"pollux":1}}'), ('aud too deep in', '{"iss":"https://login.example","aud":[["pollux"]]}')]:
        bad(name, jwt(payload), 'denied')
    for name, payload in [('a string', '"x"'), ('iss with NUL', '{"aud":"pollux","iss":"https://login.example\\u0000"}'), ('payload no JSON', 'sub=42'), ('payload empty', ' '), ('payload cut', good[:-1]), ('payload and more', good + '{}'), ('payload too deep', '{"a":%s}' % ('[' * 3000)),
                          ('exp infinite', '{%s,"exp":1e999}' % party), ('exp NaN', '{%s,"exp":NaN}' % party), ('half a surrogate', '{%s,"a":"\\ud800"}' % party),
                          ('payload not UTF-8', b'{"a":"\xff"}'), ('payload with NUL', good.encode() + b'\0')]:
        bad(name, jwt(payload))
    bad('expired', jwt('{%s,"exp":%d}' % (party, NOW - 1)), 'expired')
    bad('expires this millisecond', jwt('{%s,"exp":%d}' % (party, NOW)), 'expired')
    bad('expired long ago', jwt('{%s,"exp":-5}' % party), 'expired')
    bad('expired under the previous key', jwt('{%s,"exp":%d}' % (party, NOW - 1), key=OLD), 'expired')

    # Public keys: what is public must never sign.
    public = keys.public('rsa')
    for name, key in [('public key as a shared secret', public), ('without its last line break', public.rstrip(b'\n')), ('its middle', b''.join(public.split(b'\n')[1:-2]))]:
        bad(name, jwt(good, key=key), kind='jwt-rsa')
        bad(name, jwt(good, key=key, header='{"alg":"RS256"}', digest='HS256'), kind='jwt-rsa')
    bad('unsigned', signed_text('{"alg":"none"}', good) + b'.', kind='jwt-rsa')
    text = signed_text('{"alg":"RS256"}', good)
    bad('another RSA key', text + b'.' + b64(keys.sign('rsa2', text)), kind='jwt-rsa')
    bad('RSA signature over nothing', text + b'.' + b64(keys.sign('rsa', b'')), kind='jwt-rsa')
    bad('RSA zeros', text + b'.' + b64(bytes(256)), kind='jwt-rsa')
    bad('RSA ones', text + b'.' + b64(bytes(255) + b'\1'), kind='jwt-rsa')
    bad('RSA too short', text + b'.' + b64(keys.sign('rsa', text)[1:]), kind='jwt-rsa')
    bad('ES256 for an RSA key', es, kind='jwt-rsa')
    text = signed_text('{"alg":"RS256"}', '{%s,"exp":%d}' % (party, NOW - 1))
    bad('expired RS256', text + b'.' + b64(keys.sign('rsa', text)), 'expired', 'jwt-rsa')
    text = signed_text('{"alg":"RS384"}', good)
    bad('RS384', text + b'.' + b64(keys.sign('rsa', text)), kind='jwt-rsa')
    text = signed_text('{"alg":"ES256"}', good)
    whole = keys.sign('p256', text, 32)
    bad('DER instead of r and s', text + b'.' + b64(keys.sign('p256', text)), kind='jwt-ec')
    bad('r and s zero', text + b'.' + b64(bytes(64)), kind='jwt-ec')
    bad('r only', text + b'.' + b64(whole[:32]), kind='jwt-ec')
    bad('too wide', text + b'.' + b64(b'\0' + whole[:32] + b'\0' + whole[32:]), kind='jwt-ec')
    bad('another curve of that width', text + b'.' + b64(keys.sign('k256', text, 32)), kind='jwt-ec')
    bad('a wider curve', text + b'.' + b64(keys.sign('p384', text, 48)), kind='jwt-ec')
    bad('public key as a shared secret', jwt(good, key=keys.public('p256')), kind='jwt-ec')
    bad('RS256 for an EC key', rs, kind='jwt-ec')
    bad('unsigned', signed_text('{"alg":"none"}', good) + b'.', kind='jwt-ec')


# ---- Phoenix.Token ----

def big(n):
    data = n.to_bytes((n.bit_length() + 7) // 8 or 1, 'little')
    return b'n' + bytes([len(data), 0]) + data


def payload(data, signed=NOW * 1000, age=b'b' + struct.pack('>i', 60)):
    return b'\x83h\3' + data + (big(signed) if isinstance(signed, int) else signed) + age


def phoenix(term, key=KEY, salt=SALT, head=b'SFMyNTY', digest=hashlib.sha256, rounds=1000):
    text = head + b'.' + b64(term)
    derived = hashlib.pbkdf2_hmac('sha256', key, salt, rounds, 32)
    return text + b'.' + b64(hmac.new(derived, text, digest).digest())


def phoenixes():
    one, text42 = b'a\1', b'm\0\0\0\2ab'

    def ok(name, term, claims, **how):
        say('phoenix', 'ok', name, phoenix(term, **how), claims)

    ok('integer', payload(one), '{"user_id":1}')
    ok('binary', payload(text42), '{"user_id":"ab"}')
    ok('atom', payload(b'w\2ok'), '{"user_id":"ok"}')
    ok('map', payload(b't\0\0\0\1w\2id' + one), '{"id":1}')
    ok('list', payload(b'l\0\0\0\2' + one + text42 + b'j'), '{"user_id":[1,"ab"]}')
    ok('previous key', payload(one), '{"user_id":1}', key=OLD)
    ok('HS384', payload(one), '{"user_id":1}', head=b'SFMzODQ', digest=hashlib.sha384)
    ok('HS512', payload(one), '{"user_id":1}', head=b'SFM1MTI', digest=hashlib.sha512)
    ok('for ever', payload(one, age=b'w\x08infinity'), '{"user_id":1}')
    genuine = phoenix(payload(one))
    head, body, mac = genuine.split(b'.')

    def bad(name, term, verdict='invalid', **how):
        say('phoenix', verdict, name, phoenix(term, **how))

    def odd(name, token, verdict='invalid'):
        say('phoenix', verdict, name, token)

    bad('another secret', payload(one), key=b'x' * 64)
    bad('another salt', payload(one), salt=b'user sockets')
    bad('999 rounds', payload(one), rounds=999)
    bad('HS512 named HS256', payload(one), digest=hashlib.sha512)
    bad('alg none', payload(one), head=b64(b'none'))
    bad('alg in small letters', payload(one), head=b64(b'hs256'))
    bad('no alg', payload(one), head=b'')
    bad('alg padded', payload(one), head=b'SFMyNTY=')
    odd('no signature', head + b'.' + body + b'.')
    odd('two parts', head + b'.' + body)
    odd('four parts', genuine + b'.' + mac)
    odd('only dots', b'..')
    odd('space behind', genuine + b' ')
    odd('signed with the secret itself', head + b'.' + body + b'.' + b64(hmac.new(KEY, head + b'.' + body, hashlib.sha256).digest()))
    odd('payload of another token', head + b'.' + phoenix(payload(text42)).split(b'.')[1] + b'.' + mac)
    odd('zeros', head + b'.' + body + b'.' + b64(bytes(32)))
    odd('too long', phoenix(payload(b'm' + struct.pack('>I', 6200) + b'x' * 6200)), 'long')
    bad('expired', payload(one, signed=(NOW - 61) * 1000), 'expired')
    bad('expired by a millisecond', payload(one, signed=(NOW - 60) * 1000 - 1), 'expired')
    bad('age zero', payload(one, age=b'a\0'), 'expired')
    bad('age negative', payload(one, age=b'b\xff\xff\xff\xff'), 'expired')
    bad('signed in the future', payload(one, signed=NOW * 1000 + 1))
    bad('age a string', payload(one, age=text42))
    bad('age another atom', payload(one, age=b'w\x03nil'))
    bad('signed at no integer', payload(one, signed=text42))
    bad('signed beyond 64 bits', payload(one, signed=1 << 70))
    for name, term in [
            ('empty', b''), ('version only', b'\x83'), ('another version', b'\x82' + payload(one)[1:]),
            ('no tuple', b'\x83' + one), ('empty tuple', b'\x83h\0'), ('tuple of one', b'\x83h\1' + one), ('tuple of four', b'\x83h\4' + payload(one)[3:] + one),
            ('large tuple of 4 billion', b'\x83i\xff\xff\xff\xff' + payload(one)[3:]), ('trailing byte', payload(one) + b'j'), ('trailing NUL', payload(one) + b'\0'),
            ('compressed', b'\x83P\0\0\0\x10' + bytes(10)),
            ('binary of 4 GB', payload(b'm\xff\xff\xff\xffab')), ('binary one too long', payload(b'm\0\0\xff\xffab')), ('binary not UTF-8', payload(b'm\0\0\0\1\xff')),
            ('list of 4 billion', payload(b'l\xff\xff\xff\xff' + one + b'j')), ('improper list', payload(b'l\0\0\0\1' + one + one)), ('list without an end', payload(b'l\0\0\0\1' + one)),
            ('map of 4 billion', payload(b't\xff\xff\xff\xff' + one + one)), ('map with a name twice', payload(b't\0\0\0\2w\1a' + one + b'm\0\0\0\1a' + one)), ('map key a list', payload(b't\0\0\0\1j' + one)),
            ('atom too long', payload(b'w\xff' + b'a' * 20)), ('atom of 65535', payload(b'd\xff\xffab')), ('atom not UTF-8', payload(b'w\1\xff')),
            ('huge integer', payload(b'o\xff\xff\xff\xff\0\1')), ('integer of 255 bytes', payload(b'n\xff\0' + b'\xff' * 255)),
            ('float not finite', payload(b'F\x7f\xf0' + bytes(6))), ('float NaN', payload(b'F\x7f\xf8' + bytes(6))),
            ('pid', payload(b'g' + b'w\1a' + bytes(9))), ('reference', payload(b'Z\0\1w\1a' + bytes(5))), ('function', payload(b'q\0\0w\1aw\1ba\1')), ('bit string', payload(b'M\0\0\0\1\7\xff')), ('unknown tag', payload(b'\0')),
            ('deep', payload(b'l\0\0\0\1' * 100 + b'j' + b'j' * 100)), ('very deep', payload(b'h\1' * 3000 + one))]:
        bad(name, term)


def main():
    tickets()
    phoenixes()
    with tempfile.TemporaryDirectory() as place:
        jwts(Keys(place))


main()
