package Pollux;
# Talks to Pollux's HTTP API. Core modules only; copy it and set POLLUX_API and POLLUX_KEY.
use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP;

my $json = JSON::PP->new->utf8->canonical;    # octets on the wire, characters in Perl
my $http = HTTP::Tiny->new(timeout => 5);

# One call; the answer as a Perl structure. Dies with what Pollux says about a refusal.
sub call {
    my ($method, $path, $body) = @_;
    my %request = (headers => { 'x-pollux-key' => $ENV{POLLUX_KEY}, 'content-type' => 'application/json' });
    $request{content} = $json->encode($body) if defined $body;
    my $r = $http->request($method, "$ENV{POLLUX_API}$path", \%request);
    my $answer = eval { $json->decode($r->{content}) } || {};
    return $answer if $r->{success};
    my $why = ref $answer->{error} eq 'HASH' ? "$answer->{error}{message} ($answer->{error}{code})" : $r->{reason};
    die "Pollux: $r->{status} $why\n";
}

# Publishes to everybody on $topic and returns the message's position. With a $key, saying the same
# again within five minutes publishes nothing new: a form that is sent twice is one message.
sub publish {
    my ($topic, $event, $payload, $key) = @_;
    my %message = (topic => $topic, event => $event, payload => $payload);
    $message{key} = $key if defined $key;
    return call('POST', '/publish', \%message)->{position};
}

# The last messages of $topic, oldest first, and the position to follow from:
# {messages => [{position, event, payload}, ...], position => ...}
sub history {
    my ($topic, $limit) = @_;
    (my $escaped = $topic) =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ge;
    return call('GET', "/history?topic=$escaped&limit=$limit");
}

1;
