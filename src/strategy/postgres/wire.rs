//! Messages of the PostgreSQL protocol, with bounds. The server is untrusted: it is chosen by a tenant.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::strategy::{Problem, Unknown};

/// The largest message that is read. What is asked for has answers of a few hundred bytes.
const LARGEST_MESSAGE: usize = 64 * 1024;
/// How much a server may send in one session.
const LARGEST_SESSION: usize = 1024 * 1024;

/// One message of the server.
pub(super) struct Message {
    /// What kind.
    pub(super) tag: u8,
    /// Its contents.
    pub(super) body: Vec<u8>,
}

/// A connection that carries messages.
pub(super) struct Wire<S> {
    stream: S,
    left: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, left: LARGEST_SESSION }
    }

    /// Sends what `write` puts into the buffer. An error of `write` is a NUL in a text, which was ruled out before.
    pub(super) async fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> std::io::Result<()>) -> Result<(), Problem> {
        let mut buffer = BytesMut::new();
        write(&mut buffer).map_err(|_| Unknown::ProtocolViolation)?;
        self.stream.write_all(&buffer).await.map_err(|_| Unknown::ConnectionLost)?;
        self.stream.flush().await.map_err(|_| Unknown::ConnectionLost)?;
        Ok(())
    }

    pub(super) async fn receive(&mut self) -> Result<Message, Problem> {
        let mut header = [0; 5];
        self.fill(&mut header).await?;
        let [tag, length @ ..] = header;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        // The length counts itself.
        let length = length.checked_sub(4).ok_or(Unknown::ProtocolViolation)?;
        if length > LARGEST_MESSAGE || length > self.left {
            return Err(Unknown::ProtocolViolation.into());
        }
        let mut body = vec![0; length];
        self.fill(&mut body).await?;
        Ok(Message { tag, body })
    }

    async fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Problem> {
        self.left = self.left.checked_sub(buffer.len()).ok_or(Unknown::ProtocolViolation)?;
        self.stream.read_exact(buffer).await.map_err(|_| Unknown::ConnectionLost)?;
        Ok(())
    }
}

/// The next text of a message, which ends with a zero, and the rest.
pub(super) fn text(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = body.iter().position(|byte| *byte == 0)?;
    Some((body.get(..end)?, body.get(end.checked_add(1)?..)?))
}

/// The next `N` bytes, and the rest.
pub(super) fn take<const N: usize>(body: &[u8]) -> Option<([u8; N], &[u8])> {
    body.split_first_chunk().map(|(first, rest)| (*first, rest))
}

/// The `SQLSTATE` of an error; empty if it has none.
pub(super) fn sqlstate(mut body: &[u8]) -> String {
    while let Some((kind, rest)) = body.split_first().filter(|(kind, _)| **kind != 0) {
        let Some((value, rest)) = text(rest) else { break };
        if *kind == b'C' && value.len() == 5 && value.iter().all(u8::is_ascii_alphanumeric) {
            return String::from_utf8_lossy(value).into_owned();
        }
        body = rest;
    }
    String::new()
}

/// The columns of a row.
pub(super) fn row(body: &[u8]) -> Option<Vec<Option<String>>> {
    let (count, mut rest) = take::<2>(body)?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(count) {
        let (length, after) = take::<4>(rest)?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(length)) else {
            // -1: NULL.
            columns.push(None);
            rest = after;
            continue;
        };
        let (value, after) = after.split_at_checked(length)?;
        columns.push(Some(String::from_utf8(value.to_vec()).ok()?));
        rest = after;
    }
    Some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn receive(bytes: &[u8]) -> Result<Message, Problem> {
        let (mut server, client) = tokio::io::duplex(1 << 21);
        server.write_all(bytes).await.unwrap();
        drop(server);
        Wire::new(client).receive().await
    }

    #[tokio::test]
    async fn a_message_is_bounded_before_memory_is_taken_for_it() {
        assert_eq!(receive(b"Z\0\0\0\x05I").await.ok().map(|message| (message.tag, message.body)), Some((b'Z', b"I".to_vec())));
        let violation = Some(Problem::Unknown(Unknown::ProtocolViolation));
        for header in [b"D\xff\xff\xff\xff", b"D\x7f\xff\xff\xff", b"D\x00\x01\x00\x05", b"D\0\0\0\x03", b"D\0\0\0\0"] {
            assert_eq!(receive(header).await.err(), violation, "{header:?}");
        }
        for cut in [b"".as_slice(), b"D", b"D\0\0\0\x09abc"] {
            assert_eq!(receive(cut).await.err(), Some(Problem::Unknown(Unknown::ConnectionLost)), "{cut:?}");
        }
    }

    #[tokio::test]
    async fn a_session_is_bounded() {
        let (mut server, client) = tokio::io::duplex(1 << 21);
        let mut message = b"N\0\0\xff\xff".to_vec();
        message.resize(0xffff + 1, b'x');
        for _ in 0..17 {
            server.write_all(&message).await.unwrap();
        }
        let mut wire = Wire::new(client);
        for _ in 0..16 {
            assert!(wire.receive().await.is_ok());
        }
        assert_eq!(wire.receive().await.err(), Some(Problem::Unknown(Unknown::ProtocolViolation)));
    }

    #[test]
    fn malformed_contents_are_no_panic() {
        assert_eq!(sqlstate(b"SFATAL\0C28P01\0Mpassword authentication failed\0\0"), "28P01");
        for body in [b"".as_slice(), b"C28", b"C28P0\xff\0", b"C\0", b"S", b"\0"] {
            assert_eq!(sqlstate(body), "", "{body:?}");
        }
        assert_eq!(row(b"\0\x02\0\0\0\x01a\xff\xff\xff\xff"), Some(vec![Some("a".to_owned()), None]));
        for body in [b"".as_slice(), b"\0", b"\xff\xff", b"\0\x01\0\0\0\x05a", b"\0\x01\x7f\xff\xff\xff", b"\0\x01\0\0\0\x01\xff"] {
            assert_eq!(row(body), None, "{body:?}");
        }
    }
}
