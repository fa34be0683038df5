//! The parts of a row of `SHOW GRANTS`.

use std::collections::VecDeque;

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword or a number.
    Word(String),
    /// In backquotes.
    Name(String),
    /// In single quotes: a password, a certificate's subject.
    Text(String),
    /// One of `, ( ) . * @`.
    Sign(char),
}

/// The parts that are left.
pub(super) struct Tokens(VecDeque<Token>);

impl Tokens {
    /// `None`: it has another sign, or quotes that do not end.
    pub(super) fn read(row: &str) -> Option<Self> {
        // What could not be read as text could stand for another name.
        if row.contains(char::REPLACEMENT_CHARACTER) {
            return None;
        }
        let (mut tokens, mut rest) = (VecDeque::new(), row.chars().peekable());
        while let Some(first) = rest.next() {
            tokens.push_back(match first {
                ' ' => continue,
                '`' | '\'' => {
                    let mut inside = String::new();
                    loop {
                        match rest.next()? {
                            quote if quote == first => {
                                if rest.next_if_eq(&first).is_none() {
                                    break;
                                }
                                inside.push(first);
                            }
                            other => inside.push(other),
                        }
                    }
                    if first == '`' { Token::Name(inside) } else { Token::Text(inside) }
                }
                ',' | '(' | ')' | '.' | '*' | '@' => Token::Sign(first),
                letter if letter.is_ascii_alphanumeric() || letter == '_' => {
                    let mut word = String::from(letter);
                    // The dot of a number.
                    let number = letter.is_ascii_digit();
                    while let Some(next) = rest.next_if(|next| next.is_ascii_alphanumeric() || *next == '_' || number && *next == '.') {
                        word.push(next);
                    }
                    Token::Word(word)
                }
                _ => return None,
            });
        }
        Some(Self(tokens))
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.0.front()
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        self.0.pop_front()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// The next token, if it is a name.
    pub(super) fn name(&mut self) -> Option<String> {
        match self.next()? {
            Token::Name(name) => Some(name),
            _ => None,
        }
    }

    /// Skips this sign, if it is next.
    pub(super) fn skip_sign(&mut self, sign: char) -> bool {
        self.0.pop_front_if(|token| *token == Token::Sign(sign)).is_some()
    }

    /// Skips these words, if they are next.
    pub(super) fn skip_words(&mut self, words: &[&str]) -> bool {
        let are_next = words.iter().zip(0..).all(|(word, at)| matches!(self.0.get(at), Some(Token::Word(found)) if found == word));
        if are_next {
            self.0.drain(..words.len());
        }
        are_next
    }

    /// The words of a privilege, with one space between them; at least one. Ends before `last`.
    pub(super) fn words_until(&mut self, last: &str) -> Option<String> {
        let mut words = Vec::new();
        while let Some(Token::Word(word)) = self.0.pop_front_if(|token| matches!(token, Token::Word(word) if word != last)) {
            let is_keyword = word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
            words.push(Some(word).filter(|_| is_keyword)?);
        }
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// All words that are next.
    pub(super) fn words(&mut self) -> Option<String> {
        self.words_until("")
    }
}
