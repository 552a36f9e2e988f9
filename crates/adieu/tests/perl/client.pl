# A client of an old version, by Protocol::WebSocket (Debian: libprotocol-websocket-perl).
#
#   perl client.pl <draft> <url> <who closes: client|server>
#
# Opens a WebSocket, sends two texts and reads them back, says goodbye or answers the server's,
# and prints what it saw: one line each.
use strict;
use warnings;

use Encode ();
use IO::Socket::INET;
use Protocol::WebSocket::Frame;
use Protocol::WebSocket::Handshake::Client;

my ($draft, $url, $closes) = @ARGV;
$| = 1;
$SIG{ALRM} = sub { print "deadline\n"; exit 1 };
alarm 20;

my ($authority) = $url =~ m{^ws://([^/]+)};
my $tcp = IO::Socket::INET->new(PeerAddr => $authority) or die "connect: $!";
binmode $tcp;
my $input = '';

# Waits for more bytes. False at the end, which it prints.
sub more {
    my $n = sysread $tcp, my $bytes, 65536;
    print defined $n ? "fin\n" : "error $!\n" unless $n;
    $input .= $bytes if $n;
    return $n;
}

sub say_bytes {
    my ($bytes) = @_;
    my $n = syswrite $tcp, $bytes;
    die "short write" unless defined $n && $n == length $bytes;
}

my $handshake = Protocol::WebSocket::Handshake::Client->new(url => $url, version => $draft);
say_bytes($handshake->to_string);
until ($handshake->is_done) {
    more() or exit 1;
    $handshake->parse($input) or do { print "refused ", $handshake->error, "\n"; exit 1 };
}
print "open ", $handshake->res->version, "\n";

my $frames = Protocol::WebSocket::Frame->new(version => $draft);

sub frame { Protocol::WebSocket::Frame->new(version => $draft, masked => 1, @_)->to_bytes }

# The next payload. Ends the script where the server ends.
sub payload {
    while (1) {
        $frames->append($input);
        my $payload = $frames->next_bytes;
        return $payload if defined $payload;
        more() or exit 0;
    }
}

# hixie has no code; the drafts of hybi say it in two bytes.
my $goodbye = $draft eq 'draft-ietf-hybi-00' ? '' : pack 'n', 1000;

for my $text ("hello", "gr\xFC\xDFe, \x{20AC}") {
    say_bytes(frame(buffer => Encode::encode('UTF-8', $text)));
    print "text ", payload(), "\n";
}
say_bytes(frame(type => 'close', buffer => $goodbye)) if $closes eq 'client';
my $heard = payload();
print $frames->is_close ? "close" : "text", " ", unpack('H*', $heard), "\n";
say_bytes(frame(type => 'close', buffer => $heard)) if $closes eq 'server';
1 while more();
close $tcp;
