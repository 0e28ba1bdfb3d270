//! The filters of listings: comparisons joined by `AND`, a small part of AIP-160.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The longest filter, in bytes.
pub const LONGEST: usize = 512;
const MOST_CONDITIONS: usize = 16;

/// What a field is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text, for `=` and `!=`.
    Text,
    /// A time in RFC 3339, for `<`, `<=`, `>` and `>=`.
    Time,
    /// A whole number, for all but `!=`.
    Number,
    /// `true` or `false`, for `=` and `!=`.
    Flag,
}

/// A field that a listing can be filtered by.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it is compared with.
    pub kind: Kind,
}

impl Field {
    /// A field.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind }
    }
}

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// A text.
    Text(String),
    /// A time.
    Time(OffsetDateTime),
    /// A whole number.
    Number(i64),
    /// `true` or `false`.
    Flag(bool),
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The field, as the listing names it.
    pub field: &'static str,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub operand: Operand,
}

/// All must hold. Empty lets everything through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// The comparisons.
    pub conditions: Vec<Condition>,
}

/// Why a text is no filter. It never holds the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    /// Longer than 512 characters, or of more than 16 comparisons.
    #[error("must be at most 512 characters and 16 comparisons")]
    TooLong,
    /// Not comparisons joined by AND.
    #[error("must be comparisons joined by AND, such as provider = \"anthropic\" AND state != \"DISABLED\"")]
    Form,
    /// A NUL, a line break or the like, which no value has and not every database takes.
    #[error("must have no control characters in quotes")]
    Control,
    /// A field that the listing cannot be filtered by.
    #[error("can compare {0} alone")]
    Field(String),
    /// An operator or a value that the field is not compared by.
    #[error("must compare {0} with {1}")]
    Value(&'static str, &'static str),
}

impl Filter {
    /// Reads a filter over these fields; the empty text is the empty filter.
    ///
    /// # Errors
    /// [`InvalidFilter`].
    pub fn parse(text: &str, fields: &[Field]) -> Result<Self, InvalidFilter> {
        if text.len() > LONGEST {
            return Err(InvalidFilter::TooLong);
        }
        let tokens = tokens(text)?;
        if tokens.is_empty() {
            return Ok(Self::default());
        }
        let mut conditions = Vec::new();
        for comparison in tokens.split(|token| matches!(token, Token::Word("AND"))) {
            let [Token::Word(name), Token::Operator(operator), value] = comparison else {
                return Err(InvalidFilter::Form);
            };
            conditions.push(condition(name, *operator, value, fields)?);
        }
        if conditions.len() > MOST_CONDITIONS {
            return Err(InvalidFilter::TooLong);
        }
        Ok(Self { conditions })
    }
}

#[derive(Debug, Clone, Copy)]
enum Token<'a> {
    Word(&'a str),
    Quoted(&'a str),
    Operator(Operator),
}

/// Longer operators first: `<=` is not `<`.
const OPERATORS: [(&str, Operator); 6] = [
    ("!=", Operator::NotEqual),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

fn tokens(text: &str) -> Result<Vec<Token<'_>>, InvalidFilter> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (token, after) = next_token(rest).ok_or(InvalidFilter::Form)?;
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

fn next_token(text: &str) -> Option<(Token<'_>, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, after) = quoted.split_once('"')?;
        return Some((Token::Quoted(value), after));
    }
    if let Some((sign, operator)) = OPERATORS.iter().find(|(sign, _)| text.starts_with(sign)) {
        return Some((Token::Operator(*operator), text.get(sign.len()..)?));
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"_-.:/@".contains(c)).unwrap_or(text.len());
    let (word, after) = text.split_at_checked(end)?;
    (!word.is_empty()).then_some((Token::Word(word), after))
}

fn condition(name: &str, operator: Operator, value: &Token<'_>, fields: &[Field]) -> Result<Condition, InvalidFilter> {
    let known = || fields.iter().map(|field| field.name).collect::<Vec<_>>().join(", ");
    let field = fields.iter().find(|field| field.name == name).ok_or_else(|| InvalidFilter::Field(known()))?;
    let (Token::Word(text) | Token::Quoted(text)) = value else { return Err(InvalidFilter::Form) };
    if text.contains(char::is_control) {
        return Err(InvalidFilter::Control);
    }
    let operand = operand(field.kind, operator, text).ok_or(InvalidFilter::Value(field.name, wanted(field.kind)))?;
    Ok(Condition { field: field.name, operator, operand })
}

fn operand(kind: Kind, operator: Operator, text: &str) -> Option<Operand> {
    let is_equality = matches!(operator, Operator::Equal | Operator::NotEqual);
    match kind {
        Kind::Text if is_equality => Some(Operand::Text(text.to_owned())),
        Kind::Flag if is_equality => text.parse().ok().map(Operand::Flag),
        Kind::Time if !is_equality => OffsetDateTime::parse(text, &Rfc3339).ok().map(Operand::Time),
        Kind::Number if operator != Operator::NotEqual => text.parse().ok().map(Operand::Number),
        _ => None,
    }
}

fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a text in quotes, by = or !=",
        Kind::Flag => "true or false, by = or !=",
        Kind::Time => "a time in RFC 3339 in quotes, by <, <=, > or >=",
        Kind::Number => "a whole number, by =, <, <=, > or >=",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const FIELDS: [Field; 4] = [
        Field::new("provider", Kind::Text),
        Field::new("create_time", Kind::Time),
        Field::new("seq", Kind::Number),
        Field::new("read_only", Kind::Flag),
    ];

    #[test]
    fn comparisons_are_read() {
        assert_eq!(Filter::parse("  ", &FIELDS).unwrap(), Filter::default());
        let text = "provider=\"a AND b\" AND create_time >= \"2026-01-02T03:04:05Z\" AND seq<7 AND read_only != true";
        let filter = Filter::parse(text, &FIELDS).unwrap();
        let read: Vec<_> = filter.conditions.iter().map(|c| (c.field, c.operator, c.operand.clone())).collect();
        let time = OffsetDateTime::parse("2026-01-02T03:04:05Z", &Rfc3339).unwrap();
        assert_eq!(
            read,
            [
                ("provider", Operator::Equal, Operand::Text("a AND b".into())),
                ("create_time", Operator::AtLeast, Operand::Time(time)),
                ("seq", Operator::Less, Operand::Number(7)),
                ("read_only", Operator::NotEqual, Operand::Flag(true)),
            ]
        );
    }

    #[test]
    fn what_is_no_filter_is_refused_and_never_quoted() {
        for bad in [
            "provider",
            "provider =",
            "= \"x\"",
            "provider = x y",
            "provider = \"x",
            "AND",
            "provider = x AND",
            "provider = x OR seq = 1",
            "secret-canary = x",
            "seq = many",
            "seq != 1",
            "provider < x",
            "read_only = yes",
            "create_time = \"2026-01-02T03:04:05Z\"",
            "create_time > \"yesterday\"",
            "provider = (x)",
            "\u{1f511} = x",
        ] {
            let error = Filter::parse(bad, &FIELDS).unwrap_err();
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        for control in ["\0", "a\0b", "\n", "\u{1b}[2J", "\u{7f}", "\u{85}"] {
            for sign in ["=", "!="] {
                let refused = Filter::parse(&format!("provider {sign} \"{control}\""), &FIELDS);
                assert_eq!(refused, Err(InvalidFilter::Control), "{control:?}");
            }
        }
        let long = format!("provider = \"{}\"", "x".repeat(LONGEST));
        assert_eq!(Filter::parse(&long, &FIELDS), Err(InvalidFilter::TooLong));
        let many = vec!["seq=1"; MOST_CONDITIONS + 1].join(" AND ");
        assert_eq!(Filter::parse(&many, &FIELDS), Err(InvalidFilter::TooLong));
    }
}
