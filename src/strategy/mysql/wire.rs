//! Packets of the MySQL protocol, with bounds. The server is untrusted: it is chosen by a tenant.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html>

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

use crate::strategy::{Problem, Unknown};

/// The largest packet that is read. What is asked for has answers of a few hundred bytes.
const LARGEST_PACKET: usize = 64 * 1024;
/// How much a server may send in one session.
const LARGEST_SESSION: usize = 1024 * 1024;

/// The rows of an answer.
pub(super) type Rows = Vec<Vec<Option<String>>>;

/// A connection that carries packets.
pub(super) struct Wire<S> {
    stream: S,
    left: usize,
    /// The number of the next packet of this exchange.
    sequence: u8,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, left: LARGEST_SESSION, sequence: 0 }
    }

    /// The stream, to begin TLS on it; what follows is put back with [`Self::resume`].
    pub(super) fn pause(self) -> (S, Paused) {
        (self.stream, Paused { left: self.left, sequence: self.sequence })
    }

    /// Goes on with an exchange on another stream.
    pub(super) fn resume(stream: S, paused: Paused) -> Self {
        Self { stream, left: paused.left, sequence: paused.sequence }
    }

    /// Sends a packet of the exchange that is under way.
    pub(super) async fn send(&mut self, body: &[u8]) -> Result<(), Problem> {
        let length = u32::try_from(body.len()).ok().filter(|length| *length < 0xff_ffff).ok_or(Unknown::ProtocolViolation)?;
        let [a, b, c, _] = length.to_le_bytes();
        // In one piece, and overwritten afterwards: it can have a password.
        let mut packet = Zeroizing::new(Vec::with_capacity(body.len().saturating_add(4)));
        packet.extend_from_slice(&[a, b, c, self.sequence]);
        packet.extend_from_slice(body);
        self.sequence = self.sequence.wrapping_add(1);
        self.stream.write_all(&packet).await.map_err(|_| Unknown::ConnectionLost)?;
        self.stream.flush().await.map_err(|_| Unknown::ConnectionLost)?;
        Ok(())
    }

    /// Begins an exchange with a command.
    pub(super) async fn command(&mut self, code: u8, text: &str) -> Result<(), Problem> {
        self.sequence = 0;
        let mut body = Zeroizing::new(Vec::with_capacity(text.len().saturating_add(1)));
        body.push(code);
        body.extend_from_slice(text.as_bytes());
        self.send(&body).await
    }

    pub(super) async fn receive(&mut self) -> Result<Vec<u8>, Problem> {
        let mut header = [0; 4];
        self.fill(&mut header).await?;
        let [a, b, c, sequence] = header;
        let length = usize::try_from(u32::from_le_bytes([a, b, c, 0])).unwrap_or(usize::MAX);
        if sequence != self.sequence || length > LARGEST_PACKET || length > self.left {
            return Err(Unknown::ProtocolViolation.into());
        }
        self.sequence = self.sequence.wrapping_add(1);
        let mut body = vec![0; length];
        self.fill(&mut body).await?;
        Ok(body)
    }

    async fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Problem> {
        self.left = self.left.checked_sub(buffer.len()).ok_or(Unknown::ProtocolViolation)?;
        self.stream.read_exact(buffer).await.map_err(|_| Unknown::ConnectionLost)?;
        Ok(())
    }
}

/// What is left of an exchange while its stream is replaced.
#[derive(Clone, Copy)]
pub(super) struct Paused {
    left: usize,
    sequence: u8,
}

/// Reads the parts of a packet. Every part may be missing.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `N` bytes.
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(super) fn number(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    /// The next `length` bytes.
    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(first)
    }

    /// What comes before the next zero.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = self.bytes(end)?;
        self.byte()?;
        Some(text)
    }

    /// A number of one to nine bytes. `None` also for what is no number: NULL, an error.
    pub(super) fn length(&mut self) -> Option<u64> {
        match self.byte()? {
            short @ 0..=0xfa => Some(u64::from(short)),
            0xfc => self.take().map(u16::from_le_bytes).map(u64::from),
            0xfd => self.take().map(|[a, b, c]| u64::from(u32::from_le_bytes([a, b, c, 0]))),
            0xfe => self.take().map(u64::from_le_bytes),
            _ => None,
        }
    }

    /// Skips a NULL, if it is the next value of a row.
    fn null(&mut self) -> bool {
        let is_null = self.0.first() == Some(&0xfb);
        if is_null {
            self.byte();
        }
        is_null
    }

    /// The next value of a row, which is not NULL. Those that are looked at are text; a query can give others.
    fn value(&mut self) -> Option<String> {
        let length = usize::try_from(self.length()?).ok()?;
        Some(String::from_utf8_lossy(self.bytes(length)?).into_owned())
    }
}

/// The values of a row.
pub(super) fn row(body: &[u8], columns: u64) -> Option<Vec<Option<String>>> {
    let mut reader = Reader(body);
    let mut values = Vec::new();
    for _ in 0..columns {
        values.push(if reader.null() { None } else { Some(reader.value()?) });
    }
    reader.is_empty().then_some(values)
}

/// The code of an error; 0 if it has none.
pub(super) fn error_code(body: &[u8]) -> u16 {
    Reader(body.get(1..).unwrap_or_default()).number().unwrap_or_default()
}

/// A text or bytes with their length before them. Shorter than 251 bytes: names and proofs.
pub(super) fn short(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = u8::try_from(bytes.len()).ok().filter(|length| *length < 0xfb)?;
    Some([&[length], bytes].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn receive(bytes: &[u8]) -> Result<Vec<u8>, Problem> {
        let (mut server, client) = tokio::io::duplex(1 << 21);
        server.write_all(bytes).await.unwrap();
        drop(server);
        Wire::new(client).receive().await
    }

    #[tokio::test]
    async fn a_packet_is_bounded_before_memory_is_taken_for_it() {
        assert_eq!(receive(b"\x03\0\0\0abc").await, Ok(b"abc".to_vec()));
        let violation = Err(Problem::Unknown(Unknown::ProtocolViolation));
        for header in [b"\xff\xff\xff\0", b"\x01\0\x01\0", b"\x03\0\0\x01"] {
            assert_eq!(receive(header).await, violation, "{header:?}");
        }
        for cut in [b"".as_slice(), b"\x03", b"\x03\0\0\0ab"] {
            assert_eq!(receive(cut).await, Err(Problem::Unknown(Unknown::ConnectionLost)), "{cut:?}");
        }
    }

    #[tokio::test]
    async fn a_session_is_bounded() {
        let (mut server, client) = tokio::io::duplex(1 << 21);
        for sequence in 0..17_u8 {
            server.write_all(&[0xff, 0xff, 0, sequence]).await.unwrap();
            server.write_all(&vec![b'x'; 0xffff]).await.unwrap();
        }
        let mut wire = Wire::new(client);
        for _ in 0..15 {
            assert!(wire.receive().await.is_ok());
        }
        assert_eq!(wire.receive().await, Err(Problem::Unknown(Unknown::ProtocolViolation)));
    }

    #[test]
    fn malformed_contents_are_no_panic() {
        assert_eq!(row(b"\x01a\xfb\x00", 3), Some(vec![Some("a".to_owned()), None, Some(String::new())]));
        assert_eq!(row(b"\xfc\x01\0a", 1), Some(vec![Some("a".to_owned())]));
        assert_eq!(row(b"\x01\xff", 1), Some(vec![Some("\u{fffd}".to_owned())]), "a BLOB");
        for (body, columns) in [
            (b"".as_slice(), 1),
            (b"\x02a", 1),
            (b"\xfc\x01", 1),
            (b"\xfd\xff\xff\xff", 1),
            (b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff", 1),
            (b"\xff", 1),
            (b"\x01ab", 1),
        ] {
            assert_eq!(row(body, columns), None, "{body:?}");
        }
        assert_eq!(error_code(b"\xff\x15\x04#28000Access denied"), 1045);
        for body in [b"".as_slice(), b"\xff", b"\xff\x15"] {
            assert_eq!(error_code(body), 0, "{body:?}");
        }
        assert_eq!(short(&[0; 251]), None);
        assert_eq!(Reader(b"abc").text(), None);
    }
}
