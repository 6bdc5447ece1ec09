//! Rows as Parquet, column by column, with the levels that its nesting asks for.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context, Result};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::rows::Row;
use crate::records::{Message, PromptText};

/// Rows that are held together in the file.
const ROW_GROUP: usize = 10_000;

/// A column's values.
enum Column<'a> {
    Text(Vec<Option<&'a str>>),
    Number(Vec<Option<f64>>),
    Index(Vec<usize>),
    Ids(Vec<&'a [u32]>),
    Messages(Vec<&'a [Message]>),
}

/// The whole file.
pub fn parquet(rows: &[Row<'_>]) -> Result<Vec<u8>> {
    let schema = Arc::new(parse_message_type(&schema(&columns(rows))?).context("the schema of an export")?);
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, schema, properties)?;
    for rows in rows.chunks(ROW_GROUP) {
        let mut group = file.next_row_group()?;
        for (_, column) in columns(rows) {
            match column {
                Column::Text(texts) => {
                    optional::<ByteArrayType>(&mut group, texts.into_iter().map(|text| text.map(ByteArray::from)))?;
                }
                Column::Number(numbers) => optional::<DoubleType>(&mut group, numbers.into_iter())?,
                Column::Index(indices) => {
                    let values: Vec<i64> = indices.into_iter().map(i64::try_from).collect::<Result<_, _>>()?;
                    write::<Int64Type>(&mut group, &values, None, None)?;
                }
                Column::Ids(lists) => {
                    let lists: Vec<Vec<i32>> =
                        lists.iter().map(|ids| ids.iter().map(|&id| id as i32).collect()).collect();
                    list::<Int32Type>(&mut group, &lists)?;
                }
                Column::Messages(dialogues) => {
                    let parts: [fn(&Message) -> &str; 2] = [|message| &message.role, |message| &message.content];
                    for part in parts {
                        let lists: Vec<Vec<ByteArray>> = dialogues
                            .iter()
                            .map(|all| all.iter().map(|m| ByteArray::from(part(m))).collect())
                            .collect();
                        list::<ByteArrayType>(&mut group, &lists)?;
                    }
                }
            }
        }
        group.close()?;
    }
    file.close()?;
    Ok(bytes)
}

fn columns<'a>(rows: &[Row<'a>]) -> Vec<(String, Column<'a>)> {
    let mut all: Vec<(String, Column<'a>)> = Vec::new();
    let mut add = |name: &str, column| all.push((name.to_owned(), column));
    add("id", Column::Text(rows.iter().map(|row| Some(row.id)).collect()));
    add("prompt", said(rows.iter().map(|row| row.prompt)));
    add("chosen", said(rows.iter().map(|row| row.chosen)));
    add("rejected", said(rows.iter().map(|row| row.rejected)));
    add("prompt_id", Column::Text(rows.iter().map(|row| Some(row.prompt_id)).collect()));
    add("group", Column::Text(rows.iter().map(|row| row.group).collect()));
    add("stage", Column::Text(rows.iter().map(|row| row.stage).collect()));
    add("chosen_rating", Column::Number(rows.iter().map(|row| Some(row.chosen_rating)).collect()));
    add("rejected_rating", Column::Number(rows.iter().map(|row| Some(row.rejected_rating)).collect()));
    add("gap", Column::Number(rows.iter().map(|row| Some(row.gap)).collect()));
    for name in rows.first().into_iter().flat_map(|row| row.dimensions.keys()) {
        add(name, Column::Number(rows.iter().map(|row| row.dimensions.get(name).copied().flatten()).collect()));
    }
    add("chosen_index", Column::Index(rows.iter().map(|row| row.chosen_index).collect()));
    add("rejected_index", Column::Index(rows.iter().map(|row| row.rejected_index).collect()));
    add("prompt_token_ids", Column::Ids(rows.iter().map(|row| row.prompt_token_ids).collect()));
    add("chosen_token_ids", Column::Ids(rows.iter().map(|row| row.chosen_token_ids).collect()));
    add("rejected_token_ids", Column::Ids(rows.iter().map(|row| row.rejected_token_ids).collect()));
    all
}

/// All of them are texts, or all dialogues.
fn said<'a>(texts: impl Iterator<Item = &'a PromptText>) -> Column<'a> {
    let (mut plain, mut chat): (Vec<Option<&str>>, Vec<&[Message]>) = (Vec::new(), Vec::new());
    for text in texts {
        match text {
            PromptText::Text(text) => plain.push(Some(text)),
            PromptText::Chat(messages) => chat.push(messages),
        }
    }
    if chat.is_empty() { Column::Text(plain) } else { Column::Messages(chat) }
}

fn schema(columns: &[(String, Column<'_>)]) -> Result<String> {
    let mut text = String::from("message pairs {\n");
    for (name, column) in columns {
        match column {
            Column::Text(_) => writeln!(text, "optional binary {name} (STRING);"),
            Column::Number(_) => writeln!(text, "optional double {name};"),
            Column::Index(_) => writeln!(text, "required int64 {name};"),
            Column::Ids(_) => writeln!(
                text,
                "required group {name} (LIST) {{ repeated group list {{ required int32 element (INTEGER(32, false)); }} }}"
            ),
            Column::Messages(_) => writeln!(
                text,
                "required group {name} (LIST) {{ repeated group list {{ required group element {{ \
                 required binary role (STRING); required binary content (STRING); }} }} }}"
            ),
        }?;
    }
    text.push('}');
    Ok(text)
}

type Group<'a, 'b> = SerializedRowGroupWriter<'a, &'b mut Vec<u8>>;

fn optional<T: DataType>(group: &mut Group<'_, '_>, values: impl Iterator<Item = Option<T::T>>) -> Result<()> {
    let values: Vec<Option<T::T>> = values.collect();
    let there: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    write::<T>(group, &values.into_iter().flatten().collect::<Vec<_>>(), Some(&there), None)
}

/// A list's first element begins a row (repetition 0), the others go on with it (1); an empty list defines nothing (definition 0).
fn list<T: DataType>(group: &mut Group<'_, '_>, lists: &[Vec<T::T>]) -> Result<()> {
    let (mut defined, mut repeated) = (Vec::new(), Vec::new());
    for list in lists {
        defined.extend(std::iter::repeat_n(1, list.len()));
        repeated.extend((0..list.len()).map(|i| i16::from(i > 0)));
        if list.is_empty() {
            defined.push(0);
            repeated.push(0);
        }
    }
    write::<T>(group, &lists.concat(), Some(&defined), Some(&repeated))
}

fn write<T: DataType>(
    group: &mut Group<'_, '_>,
    values: &[T::T],
    defined: Option<&[i16]>,
    repeated: Option<&[i16]>,
) -> Result<()> {
    let mut column = group.next_column()?.context("an export has more columns than its schema")?;
    column.typed::<T>().write_batch(values, defined, repeated)?;
    Ok(column.close()?)
}
