#!/usr/bin/perl
# The news, as they are now: readable without JavaScript. news.js then follows the topic from where
# this page ends, so that nothing is missing and nothing comes twice.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../lib";
use Page qw(html answer page);
use Pollux;
use POSIX qw(strftime);

my $news = eval { Pollux::history('news:front', 20) };
unless ($news) {
    print STDERR $@;
    answer('503 Service Unavailable', page('News', '', '<h1>News</h1><p>There are no news just now.</p>'));
    exit;
}

my $items = '';
for my $message (reverse @{ $news->{messages} }) {
    my $said = $message->{payload};
    next unless ref $said eq 'HASH';
    my $time = strftime '%Y-%m-%dT%H:%M:%SZ', gmtime($said->{time} || 0);
    $items .= sprintf qq{    <li><b>%s</b> <span class="by">%s, <time datetime="%s">%s UTC</time></span></li>\n},
        html($said->{headline}), html($said->{by}), $time, substr $time, 11, 5;
}

my $hidden = $items eq '' ? '' : ' hidden';
answer('200 OK', page('News', '<script type="module" src="/news.js"></script>', <<"HTML"));
<header>
  <h1>News</h1>
  <p id="status" role="status" data-state="busy">As of the time when this page was loaded</p>
</header>
<main class="card">
  <ol class="feed" id="news" aria-live="polite" data-topic="news:front" data-position="@{[ html($news->{position}) ]}">
$items  </ol>
  <p class="hint" id="none"$hidden>Nothing has happened yet.</p>
</main>
<p class="hint"><a href="/editor">Write news</a> (in another window, to watch this one)</p>
HTML
