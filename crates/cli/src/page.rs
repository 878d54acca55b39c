//! The page, embedded: three files, no build step.

use axum::response::Html;

pub(crate) async fn index() -> Html<&'static str> {
    Html(include_str!("page/index.html"))
}

pub(crate) async fn style() -> ([(&'static str, &'static str); 1], &'static str) {
    (
        [("content-type", "text/css; charset=utf-8")],
        include_str!("page/style.css"),
    )
}

pub(crate) async fn script() -> ([(&'static str, &'static str); 1], &'static str) {
    (
        [("content-type", "text/javascript; charset=utf-8")],
        include_str!("page/app.js"),
    )
}
