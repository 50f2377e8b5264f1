use super::*;
use crate::sweep::{Grouping, Subject};

fn nothing(model: &str, perturbations: &[&str]) -> Partial {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let groups = vec![Grouping { column: "zone".to_owned(), groups: names(&["a", "b"]) }];
    Partial::new(Subject {
        dataset: "<d>".to_owned(),
        model: model.to_owned(),
        classes: names(&["x", "y"]),
        perturbations: names(perturbations),
        groupings: groups,
        resample: "sample".to_owned(),
        inputs: model.to_owned(),
    })
    .unwrap()
}

#[test]
fn a_page_without_samples_says_so_and_draws_nothing() {
    let page = Page::new(vec![nothing("m", &["10 km"])], 10, 0).unwrap();
    let html = html::page(&page).unwrap();
    assert!(html.contains("&lt;d&gt;") && html.contains("Not measured here.") && !html.contains("<svg"));
    assert!(page.models[0].diagnosis.verdict.is_empty());
}

#[test]
fn models_stand_side_by_side_only_under_the_same_wrong_metadata() {
    assert!(Page::new(vec![nothing("m", &["10 km"]), nothing("n", &["10 km"])], 10, 0).is_ok());
    let refused = Page::new(vec![nothing("m", &["10 km"]), nothing("n", &["20 km"])], 10, 0).unwrap_err();
    assert!(refused.to_string().contains("perturbations"), "{refused}");
    assert!(Page::new(Vec::new(), 10, 0).is_err());
}
