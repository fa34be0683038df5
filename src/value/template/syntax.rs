//! The parts of a template.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Expression(Expression),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expression {
    pub(super) operand: Operand,
    pub(super) filters: Vec<Filter>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operand {
    Literal(String),
    /// `document` or `fields`: the whole value.
    Document,
    /// A field, or a place in it.
    Path(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    B64Encode,
    UrlEncode,
    ToJson,
    Trim,
    Upper,
    Lower,
    Indent(usize),
    Replace(String, String),
    Default(String),
}
