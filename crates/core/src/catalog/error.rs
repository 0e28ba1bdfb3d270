//! What can be wrong with a catalog file. The file is the operator's own, so errors name its entries and fields; they
//! repeat nothing that a caller sends.

/// A catalog file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The file is not TOML.
    #[error("the catalog file is not TOML")]
    Syntax(#[source] Box<toml::de::Error>),
    /// A table or key at the top that is none of `provider`, `rules`, `resets` and `fees`.
    #[error("the catalog file has an unknown field {field} at its top")]
    UnknownSection {
        /// Its name.
        field: String,
    },
    /// An entry without an `id`; entries count from 1.
    #[error("entry {position} of the catalog file has no id")]
    NoId {
        /// Which entry.
        position: usize,
    },
    /// A field that entries do not have.
    #[error("catalog entry {entry}: there is no field {field}")]
    UnknownField {
        /// The entry's id.
        entry: String,
        /// The field.
        field: String,
    },
    /// A field whose value has another type than it should, or a table in it with unknown fields.
    #[error("catalog entry {entry}: field {field} does not have its form")]
    Shape {
        /// The entry's id; `*` for the rules and resets of any provider, and for fees.
        entry: String,
        /// The field.
        field: &'static str,
        /// What TOML says about it.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A field whose value cannot be used.
    #[error("catalog entry {entry}: field {field} {problem}")]
    Invalid {
        /// The entry's id; `*` for the rules and resets of any provider, and for fees.
        entry: String,
        /// The field, as a path.
        field: String,
        /// What is wrong; it reads on from the field's name.
        problem: Problem,
    },
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not given.
    #[error("is required")]
    Missing,
    /// Empty text or list.
    #[error("must not be empty")]
    Empty,
    /// Not of the form of ids.
    #[error("must be 1 to 63 characters of a-z, 0-9 and '-', and start with a letter or digit")]
    Slug,
    /// An id or alias that another entry has, or an entry given twice.
    #[error("is taken by another entry")]
    Taken,
    /// Not the id of an entry.
    #[error("names no entry")]
    NoSuchEntry,
    /// `like` on an entry that itself is like another.
    #[error("names an entry that is like another one itself")]
    Chained,
    /// Not one of the words.
    #[error("must be one of llm, image, video, audio, research")]
    Category,
    /// A default model for a category that the provider does not have.
    #[error("names a category that the entry does not have")]
    ForeignCategory,
    /// Not one of the words.
    #[error("must be one of api_key, service_account_json, none")]
    AuthType,
    /// Not an absolute HTTPS URL.
    #[error("must be an absolute https (or, on a private network, http) URL without user name and fragment")]
    Url,
    /// A placeholder that is not filled here, or twice.
    #[error("has a placeholder that is not known here")]
    Placeholder,
    /// `{location}` without a `location` table.
    #[error("has {{location}}, but the entry has no location")]
    NoLocation,
    /// Not `[a-z0-9-]{1,40}`.
    #[error("must be 1 to 40 characters of a-z, 0-9 and '-'")]
    Location,
    /// Required, but not allowed.
    #[error("cannot be required without being allowed")]
    RequiredNotAllowed,
    /// A test that would send a key with a base URL of its own to another host.
    #[error("must start with {{base_url}}/, since keys may have a base URL of their own")]
    TestIgnoresBaseUrl,
    /// Not a header name, or a value with other than printable ASCII characters.
    #[error("must be a header name with a printable ASCII value")]
    Header,
    /// Not a regular expression.
    #[error("is no regular expression that can be used")]
    Regex,
    /// Not `GET` or `POST`.
    #[error("must be GET or POST")]
    Method,
    /// Not `http`, `token_exchange` or `none`.
    #[error("must be http, token_exchange or none")]
    TestKind,
    /// A status that is no HTTP status.
    #[error("must be 100 to 599, or \"5xx\"")]
    Status,
    /// Not one of the operators.
    #[error("must be one of any, eq, in, contains, starts_with, exists, le_zero, is_true, is_false, ge_field")]
    Op,
    /// An operator without a field, or a field without an operator.
    #[error("does not go with the rule's field: any goes without one, every other operator with one")]
    OpField,
    /// A value that does not go with the operator.
    #[error("does not go with the rule's operator")]
    Value,
    /// Not a path.
    #[error("must be a path such as error.details[].reason, or several with | between them")]
    Path,
    /// Not one of the outcomes that an answer can have.
    #[error(
        "must be one of ok, invalid_key, forbidden, quota_exhausted, rate_limited, overloaded, server_error, bad_request, \
         and in the rules of a test also inconclusive"
    )]
    Outcome,
    /// 429 and 5xx say nothing against a key.
    #[error("cannot be invalid_key for 429 or 5xx")]
    NeverInvalid,
    /// Not a time that a rule can imply, or on a rule that implies none.
    #[error("must be next_month, and goes with quota_exhausted in the rules for calls")]
    Until,
    /// Neither a header nor a field of the body, or both.
    #[error("must be given if field is not, and only then")]
    ResetPlace,
    /// Not a header name.
    #[error("must be a header name")]
    HeaderName,
    /// Not one of the forms of times.
    #[error("must be one of seconds, milliseconds, duration, retry_after, rfc3339, unix_seconds, unix_millis")]
    Form,
    /// `limit` or `refills` on a reset that is not of a window.
    #[error("goes only with remaining")]
    NoWindow,
    /// A position that is 0, or in a body.
    #[error("must be 1 or more, and goes only with header")]
    Position,
    /// An outcome whose end no answer can tell.
    #[error("must be rate_limited, quota_exhausted or (without remaining) overloaded")]
    ResetOutcome,
    /// A prefix or text to look for that is not printable ASCII.
    #[error("must be printable ASCII characters without spaces")]
    Text,
    /// A price or fee that is no amount of credits.
    #[error("must be a decimal number in quotes, of up to 12 digits and up to 6 more behind a point")]
    Amount,
    /// Not the name of a model, or the beginning of one.
    #[error("must be models' names, or their beginnings with a * at the end")]
    Pattern,
    /// A pattern that has another price already.
    #[error("names models that have a price already")]
    PricedTwice,
}
