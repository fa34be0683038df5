//! Replies of the Redis protocol (RESP2), with bounds. The server is untrusted: it is chosen by a tenant.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::reply::{Reply, ServerError};
use crate::strategy::{Problem, Unknown};

/// The largest text in a reply. The description of a user has a few hundred bytes.
const LARGEST_TEXT: usize = 64 * 1024;
/// The longest line: a short text, an error, a number.
const LONGEST_LINE: usize = 4096;
/// How many replies one reply contains.
const MOST_PARTS: usize = 4096;
/// How deep replies are nested: that of a user has three levels.
const DEEPEST: usize = 8;
/// How much a server may send in one session.
const LARGEST_SESSION: usize = 1024 * 1024;

/// A connection that carries commands and replies.
pub(super) struct Wire<S> {
    stream: S,
    left: usize,
    /// Received and not read yet, from this place on.
    received: Vec<u8>,
    read: usize,
}

/// One line, or the text that one announces.
enum Part {
    Whole(Reply),
    Array(usize),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, left: LARGEST_SESSION, received: Vec::new(), read: 0 }
    }

    /// Sends a command.
    pub(super) async fn send(&mut self, words: &[&str]) -> Result<(), Problem> {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            command.extend_from_slice(word.as_bytes());
            command.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&command).await.map_err(|_| Unknown::ConnectionLost)?;
        self.stream.flush().await.map_err(|_| Unknown::ConnectionLost)?;
        Ok(())
    }

    /// The next reply. Without recursion: a server chooses how deep it is nested.
    pub(super) async fn receive(&mut self) -> Result<Reply, Problem> {
        let mut open: Vec<(usize, Vec<Reply>)> = Vec::new();
        for _ in 0..MOST_PARTS {
            let mut reply = match self.part().await? {
                Part::Whole(reply) => reply,
                Part::Array(0) => Reply::Array(Vec::new()),
                Part::Array(_) if open.len() >= DEEPEST => return Err(Unknown::ProtocolViolation.into()),
                Part::Array(length) => {
                    open.push((length, Vec::new()));
                    continue;
                }
            };
            loop {
                let Some((length, mut replies)) = open.pop() else { return Ok(reply) };
                replies.push(reply);
                if replies.len() < length {
                    open.push((length, replies));
                    break;
                }
                reply = Reply::Array(replies);
            }
        }
        Err(Unknown::ProtocolViolation.into())
    }

    async fn part(&mut self) -> Result<Part, Problem> {
        let line = self.line().await?;
        let Some((kind, rest)) = line.split_first() else { return Err(Unknown::ProtocolViolation.into()) };
        let reply = match kind {
            b'+' => Reply::Text(text(rest)?),
            b'-' => Reply::Error(ServerError::read(&String::from_utf8_lossy(rest))),
            b':' => Reply::Number(number(rest)?),
            b'$' => match number(rest)? {
                -1 => Reply::Nothing,
                length => Reply::Text(self.text(bounded(length, LARGEST_TEXT)?).await?),
            },
            b'*' => match number(rest)? {
                -1 => Reply::Nothing,
                length => return Ok(Part::Array(bounded(length, MOST_PARTS)?)),
            },
            _ => return Err(Unknown::ProtocolViolation.into()),
        };
        Ok(Part::Whole(reply))
    }

    async fn line(&mut self) -> Result<Vec<u8>, Problem> {
        let mut seen = 0;
        loop {
            let unread = self.received.get(self.read..).unwrap_or_default();
            // What was searched before has no end of a line.
            if unread.iter().skip(seen).any(|byte| *byte == b'\n') {
                let line = unread.split(|byte| *byte == b'\n').next().unwrap_or_default();
                self.read = self.read.saturating_add(line.len()).saturating_add(1);
                return Ok(line.strip_suffix(b"\r").ok_or(Unknown::ProtocolViolation)?.to_vec());
            }
            seen = unread.len();
            if seen > LONGEST_LINE {
                return Err(Unknown::ProtocolViolation.into());
            }
            self.fill().await?;
        }
    }

    async fn text(&mut self, length: usize) -> Result<String, Problem> {
        let whole = length.saturating_add(2);
        while self.received.len().saturating_sub(self.read) < whole {
            self.fill().await?;
        }
        let body = self.received.get(self.read..).and_then(|unread| unread.get(..whole)).and_then(|text| text.strip_suffix(b"\r\n"));
        let body = text(body.ok_or(Unknown::ProtocolViolation)?)?;
        self.read = self.read.saturating_add(whole);
        Ok(body)
    }

    /// Receives more.
    async fn fill(&mut self) -> Result<(), Problem> {
        self.received.drain(..self.read);
        self.read = 0;
        let mut buffer = [0; 4096];
        let count = self.stream.read(&mut buffer).await.map_err(|_| Unknown::ConnectionLost)?;
        if count == 0 {
            return Err(Unknown::ConnectionLost.into());
        }
        self.left = self.left.checked_sub(count).ok_or(Unknown::ProtocolViolation)?;
        self.received.extend_from_slice(buffer.get(..count).unwrap_or_default());
        Ok(())
    }
}

fn number(digits: &[u8]) -> Result<i64, Problem> {
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or_else(|| Unknown::ProtocolViolation.into())
}

fn bounded(length: i64, most: usize) -> Result<usize, Problem> {
    usize::try_from(length).ok().filter(|length| *length <= most).ok_or_else(|| Unknown::ProtocolViolation.into())
}

fn text(bytes: &[u8]) -> Result<String, Problem> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Unknown::ProtocolViolation.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn receive(bytes: &[u8]) -> Result<Reply, Problem> {
        let (mut server, client) = tokio::io::duplex(1 << 21);
        server.write_all(bytes).await.unwrap();
        drop(server);
        Wire::new(client).receive().await
    }

    #[tokio::test]
    async fn replies_of_every_kind_are_read() {
        let text = |text: &str| Reply::Text(text.to_owned());
        assert_eq!(receive(b"+OK\r\n").await, Ok(text("OK")));
        assert_eq!(receive(b":-7\r\n").await, Ok(Reply::Number(-7)));
        assert_eq!(receive(b"$4\r\na\r\nb\r\n").await, Ok(text("a\r\nb")));
        assert_eq!(receive(b"$-1\r\n").await, Ok(Reply::Nothing));
        assert_eq!(receive(b"*-1\r\n").await, Ok(Reply::Nothing));
        assert_eq!(receive(b"-WRONGPASS no\r\n").await, Ok(Reply::Error(ServerError::WrongPassword)));
        let nested = Reply::Array(vec![text("a"), Reply::Array(vec![]), Reply::Array(vec![text("b"), Reply::Nothing]), Reply::Number(1)]);
        assert_eq!(receive(b"*4\r\n+a\r\n*0\r\n*2\r\n$1\r\nb\r\n$-1\r\n:1\r\n").await, Ok(nested));
    }

    #[tokio::test]
    async fn a_reply_is_bounded_before_memory_is_taken_for_it() {
        let deep = |levels: usize| [b"*1\r\n".repeat(levels), b":1\r\n".to_vec()].concat();
        assert!(receive(&deep(DEEPEST)).await.is_ok());
        let table: [(&str, Vec<u8>); 14] = [
            ("a long text", b"$65537\r\n".to_vec()),
            ("a longer one", b"$9223372036854775807\r\n".to_vec()),
            ("a negative length", b"$-2\r\n".to_vec()),
            ("many parts", b"*4097\r\n".to_vec()),
            ("many small arrays", [b"*4096\r\n".to_vec(), b"*0\r\n".repeat(4096)].concat()),
            ("deep nesting", deep(DEEPEST + 1)),
            ("nesting without end", b"*2\r\n".repeat(5000)),
            ("an endless line", vec![b'+'; 8192]),
            ("a number that is none", b":x\r\n".to_vec()),
            ("no kind", b"\r\n".to_vec()),
            ("HTTP", b"HTTP/1.1 400 Bad Request\r\n".to_vec()),
            ("RESP3", b"%1\r\n+a\r\n+b\r\n".to_vec()),
            ("no end after a text", b"$1\r\nabc\r\n".to_vec()),
            ("bytes that are no text", b"$1\r\n\xff\r\n".to_vec()),
        ];
        for (what, bytes) in table {
            assert_eq!(receive(&bytes).await, Err(Problem::Unknown(Unknown::ProtocolViolation)), "{what}");
        }
        for cut in [b"".as_slice(), b"+O", b"$5\r\nab", b"*2\r\n+a\r\n"] {
            assert_eq!(receive(cut).await, Err(Problem::Unknown(Unknown::ConnectionLost)), "{cut:?}");
        }
    }

    #[tokio::test]
    async fn a_session_is_bounded() {
        let (mut server, client) = tokio::io::duplex(1 << 21);
        let reply = [b"$60000\r\n".to_vec(), vec![b'x'; 60_000], b"\r\n".to_vec()].concat();
        for _ in 0..18 {
            server.write_all(&reply).await.unwrap();
        }
        let mut wire = Wire::new(client);
        for _ in 0..17 {
            assert!(wire.receive().await.is_ok());
        }
        assert_eq!(wire.receive().await, Err(Problem::Unknown(Unknown::ProtocolViolation)));
    }
}
