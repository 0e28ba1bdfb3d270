//! Filters of listings, as conditions on columns.

use claviger_core::filter::{Filter, Operand, Operator};
use sea_orm::sea_query::Value;
use sea_orm::{ColumnTrait, Condition, ExprTrait};

use super::StoreError;
use super::key_row::micros;

/// All of a filter's comparisons. `column` knows the listing's fields.
pub(super) fn filtered<C: ColumnTrait>(
    filter: &Filter,
    column: impl Fn(&str) -> Option<C>,
) -> Result<Condition, StoreError> {
    let mut all = Condition::all();
    for condition in &filter.conditions {
        let column = column(condition.field).ok_or(StoreError::Corrupt("a filter"))?;
        let value: Value = match &condition.operand {
            Operand::Text(text) => text.clone().into(),
            Operand::Time(time) => micros(*time).into(),
            Operand::Number(number) => (*number).into(),
            Operand::Flag(flag) => (*flag).into(),
        };
        all = all.add(match condition.operator {
            Operator::Equal => column.eq(value),
            // what is not set differs from every text
            Operator::NotEqual => column.ne(value).or(column.is_null()),
            Operator::Less => column.lt(value),
            Operator::AtMost => column.lte(value),
            Operator::Greater => column.gt(value),
            Operator::AtLeast => column.gte(value),
        });
    }
    Ok(all)
}
