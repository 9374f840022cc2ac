package Page;
# The little that a CGI page needs: escaping, form fields, an answer.
use strict;
use warnings;
use Encode qw(decode encode FB_DEFAULT);
use Exporter 'import';
our @EXPORT_OK = qw(html form answer page redirect);

# Text, so that it is text in HTML, too.
sub html {
    my $text   = shift // '';
    my %entity = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;', "'" => '&#39;');
    $text =~ s/([&<>"'])/$entity{$1}/g;
    return $text;
}

# The fields of a form that was POSTed, as characters. How long it may be is the web server's decision.
sub form {
    read(STDIN, my $body, $ENV{CONTENT_LENGTH} || 0);
    my %field;
    for my $pair (split /&/, $body // '') {
        my ($name, $value) = map { tr/+/ /; s/%([0-9A-Fa-f]{2})/chr hex $1/ger } split /=/, $pair, 2;
        $field{$name} = decode('UTF-8', $value // '', FB_DEFAULT) if defined $name;
    }
    return \%field;
}

sub answer {
    my ($status, $body) = @_;
    print "Status: $status\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n",
        "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; ",
        "connect-src 'self' ws: wss:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'\r\n\r\n",
        encode('UTF-8', $body);
}

sub redirect {
    print "Status: 303 See Other\r\nLocation: $_[0]\r\n\r\n";
}

sub page {
    my ($title, $head, $body) = @_;
    return <<"HTML";
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>@{[ html($title) ]}</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="/style.css">
  $head
</head>
<body>
$body
</body>
</html>
HTML
}

1;
