//! Parquet to JSON objects: the columns of a preference row, whatever else the file holds. Uncompressed and Snappy, which is what
//! `datasets` and pandas write.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::{Map, Value};

use super::preferences::dimension_column;
use super::text;
use crate::error::UserError;
use crate::records::Dimension;

/// What is read of a file; a column of another name may have a type that has no JSON.
const COLUMNS: [&str; 23] = [
    "id",
    "prompt_id",
    "group",
    "prompt",
    "chosen",
    "rejected",
    "prompt_token_ids",
    "chosen_token_ids",
    "rejected_token_ids",
    "prompt_ids",
    "chosen_ids",
    "rejected_ids",
    "chosen_rating",
    "rejected_rating",
    "score_chosen",
    "score_rejected",
    "gap",
    "chosen_index",
    "rejected_index",
    "tools",
    "chat_template_kwargs",
    "images",
    "image",
];

/// Calls `take` with every row's number, from 1, and its columns.
pub(super) fn each_row(path: &Path, mut take: impl FnMut(usize, Map<String, Value>)) -> Result<()> {
    let file = File::open(path).map_err(|error| text::cannot_read(path, &error))?;
    let read = || -> Result<(), ParquetError> {
        let reader = SerializedFileReader::new(file)?;
        let schema = reader.metadata().file_metadata().schema();
        let dimensions: Vec<String> =
            Dimension::ALL.iter().flat_map(|d| ["chosen", "rejected"].map(|side| dimension_column(*d, side))).collect();
        let wanted = |name: &str| COLUMNS.contains(&name) || dimensions.iter().any(|d| d == name);
        let fields: Vec<Arc<Type>> = schema.get_fields().iter().filter(|f| wanted(f.name())).cloned().collect();
        let projection = Type::group_type_builder(schema.name()).with_fields(fields).build()?;
        for (n, row) in reader.get_row_iter(Some(projection))?.enumerate() {
            take(n + 1, object(&row?));
        }
        Ok(())
    };
    // The crate has assertions that a damaged file can reach. No data file may end the program, which its own hook would do.
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let done = catch_unwind(AssertUnwindSafe(read));
    set_hook(hook);
    let reason = match done {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "its pages contradict its schema".into(),
    };
    Err(UserError::new(format!("{} cannot be read as Parquet: {reason}", path.display()))
        .hint("only uncompressed and Snappy pages are read; write it anew with datasets' to_parquet, or as JSONL with to_json")
        .into())
}

/// A row's columns. Absent values are left out, as JSON leaves them out.
fn object(row: &Row) -> Map<String, Value> {
    row.get_column_iter().filter_map(|(name, field)| Some((name.clone(), value(field)?))).collect()
}

fn value(field: &Field) -> Option<Value> {
    Some(match field {
        Field::Bool(x) => (*x).into(),
        Field::Byte(x) => (*x).into(),
        Field::Short(x) => (*x).into(),
        Field::Int(x) => (*x).into(),
        Field::Long(x) => (*x).into(),
        Field::UByte(x) => (*x).into(),
        Field::UShort(x) => (*x).into(),
        Field::UInt(x) => (*x).into(),
        Field::ULong(x) => (*x).into(),
        Field::Float(x) => serde_json::Number::from_f64((*x).into())?.into(),
        Field::Double(x) => serde_json::Number::from_f64(*x)?.into(),
        Field::Str(text) => text.clone().into(),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into_owned().into(),
        Field::Group(row) => Value::Object(object(row)),
        Field::ListInternal(list) => {
            Value::Array(list.elements().iter().map(|e| value(e).unwrap_or(Value::Null)).collect())
        }
        // Dates, decimals and maps are no part of a preference row.
        _ => return None,
    })
}
