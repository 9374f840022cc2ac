#!/usr/bin/perl
# Where news are written. Apache has asked for name and password already.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../lib";
use Page qw(html form answer page redirect);
use Pollux;

# The form, with what was typed so far. Its key makes one message of a form that is sent twice.
sub show {
    my ($status, $headline, $error) = @_;
    open my $random, '<:raw', '/dev/urandom' or die "/dev/urandom: $!\n";
    read $random, my $bytes, 16;
    my $key = unpack 'H*', $bytes;
    answer($status, page('Write news', '', <<"HTML"));
<header><h1>Write news</h1><a href="/">Read news</a></header>
<form class="card stack" method="post">
  <label for="headline">Headline</label>
  <input id="headline" name="headline" maxlength="200" required autofocus autocomplete="off" value="@{[ html($headline) ]}">
  <input type="hidden" name="key" value="$key">
  <p class="error" role="alert">@{[ html($error) ]}</p>
  <button>Publish as @{[ html($ENV{REMOTE_USER} // '') ]}</button>
</form>
HTML
}

my $form = form();    # in any case: a web server waits for its body to be read

# Browsers send the password along with forms of other sites, too; those have another Origin.
my $here = ($ENV{HTTPS} ? 'https' : 'http') . "://$ENV{HTTP_HOST}";

if ($ENV{REQUEST_METHOD} ne 'POST') {
    show('200 OK', '', '');
} elsif (($ENV{HTTP_ORIGIN} // $here) ne $here) {
    show('403 Forbidden', '', 'That form was not from this site.');
} else {
    my $headline = ($form->{headline} // '') =~ s/^\s+|\s+$//gr;
    my $key      = ($form->{key} // '') =~ /^([0-9a-f]{32})$/ ? "news-$1" : undef;
    my %news     = (headline => $headline, by => $ENV{REMOTE_USER}, time => time);

    if ($headline eq '' or length $headline > 200) {
        show('422 Unprocessable Content', $headline, 'A headline has 1 to 200 characters.');
    } elsif (!eval { Pollux::publish('news:front', 'headline', \%news, $key) }) {
        print STDERR $@;
        show('503 Service Unavailable', $headline, 'That could not be published; please try again.');
    } else {
        redirect('/editor');
    }
}
