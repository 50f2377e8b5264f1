//! Labels and tasks from `samples.csv`.

use std::path::Path;

use super::arrays::Arrays;
use super::description::{Description, TaskDescription};
use super::table::{Column, Table};
use super::{Protocol, Task};
use crate::Error;

/// Builds one task; its label ids, where the table or the arrays repeat them, must agree with `classes`.
pub(super) fn task(
    json: &Path,
    description: &Description,
    task: &TaskDescription,
    table: &Table,
    arrays: &Arrays,
) -> Result<Task, Error> {
    let why = |key: &str| format!("which dataset.json names as `{key}` of task {}", task.name);
    let label = table.required(&task.label, &why("label"))?;
    let filter = task.filter.as_ref().map(|f| table.required(f, &why("filter"))).transpose()?;
    let order = class_order(description, table, label);
    check_ids(&task.label, &order, table, label, arrays)?;
    let rows = chosen_rows(table, filter)?;
    let mut positions = Vec::with_capacity(rows.len());
    for &row in &rows {
        let name = table.text(row, label);
        let position = order.iter().position(|c| c == name);
        let complain =
            || table.complain(row, label, format!("is no class; the classes are {}", order.join(", ")));
        positions.push(position.filter(|_| !name.is_empty()).ok_or_else(complain)?);
    }
    let occurring: Vec<usize> = (0..order.len()).filter(|c| positions.contains(c)).collect();
    if occurring.len() < 2 {
        let rule = format!("task {} has {} classes; at least 2 must occur", task.name, occurring.len());
        return Err(Error::file(table.path(), rule));
    }
    let compact =
        |p: &usize| occurring.iter().position(|c| c == p).expect("occurring lists every position") as u32;
    Ok(Task {
        name: task.name.clone(),
        classes: occurring.iter().map(|&c| order[c].clone()).collect(),
        labels: positions.iter().map(compact).collect(),
        rows,
        steps: task.steps.clone().unwrap_or_else(|| (0..description.steps).collect()),
        protocols: protocols(json, description, &task.name)?,
    })
}

fn chosen_rows(table: &Table, filter: Option<Column>) -> Result<Vec<usize>, Error> {
    let Some(filter) = filter else { return Ok((0..table.len()).collect()) };
    let mut rows = Vec::new();
    for row in 0..table.len() {
        if table.optional_integer(row, Some(filter), 0, 1)? == Some(1) {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// `classes` of `dataset.json` where the label column uses them, else the sorted names that occur.
fn class_order(description: &Description, table: &Table, label: Column) -> Vec<String> {
    let names = || (0..table.len()).map(|r| table.text(r, label));
    match &description.classes {
        Some(classes) if names().any(|n| classes.iter().any(|c| c == n)) => classes.clone(),
        _ => {
            let mut sorted: Vec<String> = names().filter(|n| !n.is_empty()).map(str::to_owned).collect();
            sorted.sort();
            sorted.dedup();
            sorted
        }
    }
}

fn check_ids(
    name: &str,
    order: &[String],
    table: &Table,
    label: Column,
    arrays: &Arrays,
) -> Result<(), Error> {
    let id_name = format!("{name}_id");
    let agrees = |row: usize, id: i64| order.get(id as usize).is_some_and(|c| c == table.text(row, label));
    let disagreement = |row: usize| {
        let text = table.text(row, label);
        let want = order.iter().position(|c| c == text);
        want.map_or(format!("disagrees with {name} {text:?}, which is no class"), |w| {
            format!("disagrees with {name} {text:?}, which is class {w}")
        })
    };
    let ids = table.column(&id_name);
    for row in 0..table.len() {
        if table.text(row, label).is_empty() {
            continue;
        }
        let id = table.optional_integer(row, ids, 0, order.len() as i64 - 1)?;
        if let (Some(column), Some(id)) = (ids, id) {
            if !agrees(row, id) {
                return Err(table.complain(row, column, disagreement(row)));
            }
        }
    }
    for (row, &id) in arrays.column(&id_name).unwrap_or(&[]).iter().enumerate() {
        let fits = id.fract() == 0.0 && id >= 0.0 && agrees(row, id as i64);
        if !fits && !table.text(row, label).is_empty() {
            let rule = format!("column {id_name}, row {}: {id} {}", row + 1, disagreement(row));
            return Err(Error::file(&arrays.path, rule));
        }
    }
    Ok(())
}

fn protocols(json: &Path, description: &Description, task: &str) -> Result<Vec<Protocol>, Error> {
    let Some(names) = description.protocols.get(task) else { return Ok(Protocol::ALL.to_vec()) };
    let parse = |name: &String| {
        Protocol::parse(name).ok_or_else(|| {
            let known = Protocol::ALL.map(Protocol::name).join(", ");
            Error::file(json, format!("`protocols` of {task}: {name} is unknown; known are {known}"))
        })
    };
    let mut found = names.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    found.sort();
    found.dedup();
    Ok(found)
}
