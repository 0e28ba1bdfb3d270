//! One rule of how a provider's answer is read: a status, and perhaps something in the body.

use serde_json::Value;

use super::classify::{HttpFacts, Outcome};

/// A rule. The first that matches decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Which statuses.
    pub status: StatusMatch,
    /// What the body must say; none for any body.
    pub body: Option<BodyMatch>,
    /// What it means.
    pub ruling: Ruling,
    /// Why, for people: it reads on from "Invalid Anthropic key: ".
    pub reason: Option<String>,
    /// When what is used up comes back, where the error itself implies it. Only for [`Outcome::QuotaExhausted`].
    pub until: Option<Until>,
}

/// A time that follows from the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The first of the next month, 00:00 UTC.
    NextMonth,
}

/// Which statuses a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusMatch {
    /// This one.
    Exactly(u16),
    /// 500 to 599.
    ServerErrors,
}

/// What a rule says about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// The outcome of a call, and of a test that got this answer.
    Outcome(Outcome),
    /// Only in the rules of a test: the answer proves nothing about the key.
    Inconclusive,
}

/// A condition on the body: one of the paths leads to a value that the test accepts.
#[derive(Debug, Clone, PartialEq)]
pub struct BodyMatch {
    pub(super) paths: Vec<Path>,
    pub(super) test: BodyTest,
}

/// What the value at a path must be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum BodyTest {
    /// Exactly one of these; numbers compare by their text.
    Equals(Vec<String>),
    /// A text with one of these in it.
    Contains(Vec<String>),
    /// A text that starts with one of these.
    StartsWith(Vec<String>),
    /// There, and not null.
    Exists,
    /// A number, or a text of one, that is not above zero.
    LeZero,
    /// `true`.
    IsTrue,
    /// `false`.
    IsFalse,
    /// A number that is at least the number at another path.
    GeField(Path),
}

/// A path into a JSON value, such as `error.details[].reason`: `[]` looks at every element of a list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    Each,
}

impl Rule {
    pub(super) fn matches(&self, facts: &HttpFacts<'_>) -> bool {
        let status = match self.status {
            StatusMatch::Exactly(status) => facts.status == status,
            StatusMatch::ServerErrors => matches!(facts.status, 500..=599),
        };
        status && self.body.as_ref().is_none_or(|body| body.matches(facts))
    }
}

impl BodyMatch {
    fn matches(&self, facts: &HttpFacts<'_>) -> bool {
        match facts.body {
            Some(root) => self.paths.iter().any(|path| path.any(root, &mut |value| self.test.accepts(value, root))),
            None => facts.texts.iter().any(|text| self.test.accepts_text(text)),
        }
    }
}

impl BodyTest {
    fn accepts(&self, value: &Value, root: &Value) -> bool {
        match self {
            Self::Exists => !value.is_null(),
            Self::IsTrue => *value == Value::Bool(true),
            Self::IsFalse => *value == Value::Bool(false),
            Self::LeZero => number(value).is_some_and(|n| n <= 0.0),
            Self::GeField(path) => {
                number(value).is_some_and(|n| path.any(root, &mut |o| number(o).is_some_and(|o| n >= o)))
            }
            Self::Equals(_) | Self::Contains(_) | Self::StartsWith(_) => match value {
                Value::String(text) => self.accepts_text(text),
                Value::Number(n) => self.accepts_text(&n.to_string()),
                _ => false,
            },
        }
    }

    fn accepts_text(&self, text: &str) -> bool {
        match self {
            Self::Equals(values) => values.iter().any(|v| v == text),
            Self::Contains(values) => values.iter().any(|v| text.contains(v.as_str())),
            Self::StartsWith(values) => values.iter().any(|v| text.starts_with(v.as_str())),
            Self::Exists | Self::LeZero | Self::IsTrue | Self::IsFalse | Self::GeField(_) => false,
        }
    }
}

impl Path {
    /// Reads a path; `None` if a part of it is empty or `[]` stands elsewhere than at a part's end.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        for part in text.trim().split('.') {
            let (key, each) = part.strip_suffix("[]").map_or((part, false), |key| (key, true));
            if key.is_empty() || key.contains(['[', ']', '|', ' ']) {
                return None;
            }
            steps.push(Step::Key(key.to_owned()));
            if each {
                steps.push(Step::Each);
            }
        }
        Some(Self(steps))
    }

    /// The first text or number that the path leads to, as a text.
    pub(super) fn text(&self, root: &Value) -> Option<String> {
        let mut found = None;
        self.any(root, &mut |value| {
            found = match value {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            };
            found.is_some()
        });
        found
    }

    /// Whether one of the values that the path leads to is accepted.
    fn any(&self, root: &Value, accept: &mut dyn FnMut(&Value) -> bool) -> bool {
        walk(root, &self.0, accept)
    }
}

fn walk(value: &Value, steps: &[Step], accept: &mut dyn FnMut(&Value) -> bool) -> bool {
    match steps.split_first() {
        None => accept(value),
        Some((Step::Key(key), rest)) => value.get(key).is_some_and(|inner| walk(inner, rest, accept)),
        Some((Step::Each, rest)) => value.as_array().is_some_and(|list| list.iter().any(|v| walk(v, rest, accept))),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_have_one_form() {
        for bad in ["", ".", "a.", ".a", "[]", "a[]b", "a[0]", "a b", "a||b"] {
            assert!(Path::parse(bad).is_none(), "{bad}");
        }
        let body = json!({"a": [{"b": [{"c": 1}]}, {"b": [{"c": 2}]}]});
        let path = Path::parse("a[].b[].c").unwrap();
        assert!(path.any(&body, &mut |v| *v == json!(2)));
        assert!(!path.any(&body, &mut |v| *v == json!(3)));
        assert!(!Path::parse("a.b").unwrap().any(&body, &mut |_| true), "a list is not an object");
    }

    #[test]
    fn numbers_may_come_as_texts() {
        let zero = |value| BodyTest::LeZero.accepts(&value, &json!(null));
        assert!(zero(json!(0)) && zero(json!(-0.5)) && zero(json!("0.00")) && zero(json!("-1")));
        assert!(
            !zero(json!(0.01)) && !zero(json!("")) && !zero(json!(null)) && !zero(json!(false)) && !zero(json!("NaN"))
        );
        assert!(BodyTest::Equals(vec!["402".to_owned()]).accepts(&json!(402), &json!(null)));
    }
}
