//! A page in the browser as a session.

use super::browser::Browser;
use super::folder;
use crate::session::{Log, Request, Session};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What closes the page again.
#[derive(Debug)]
pub struct Page {
    target: String,
    session: String,
}

impl Page {
    pub async fn close(self, browser: &Browser) {
        browser.forget(&self.session);
        let _ = browser
            .call(None, "Target.closeTarget", json!({"targetId": self.target}))
            .await;
    }
}

/// Opens the peer page in a tab of its own.
pub async fn open(browser: &Arc<Browser>, name: &str, trace: bool) -> Result<(Session, Page), String> {
    let url = format!("file://{}", folder("chromium").join("peer.html").display());
    let page = blank(browser).await?;
    let events = browser.listen(&page.session);
    let (session, requests, log) = Session::new(name, trace);
    let call = |method, params| browser.call(Some(&page.session), method, params);
    call("Runtime.enable", json!({})).await?;
    call("Page.enable", json!({})).await?;
    call("Runtime.addBinding", json!({"name": "report"})).await?;
    let loaded = navigate(browser, &page, &url, events).await?;
    tokio::spawn(listen(loaded, log));
    tokio::spawn(serve(browser.clone(), page.session.clone(), requests));
    Ok((session, page))
}

/// An empty tab with a debugging session.
pub async fn blank(browser: &Browser) -> Result<Page, String> {
    let created = browser
        .call(None, "Target.createTarget", json!({"url": "about:blank"}))
        .await?;
    let target = created["targetId"].as_str().unwrap_or_default().to_owned();
    let attach = json!({"targetId": target, "flatten": true});
    let attached = browser.call(None, "Target.attachToTarget", attach).await?;
    let session = attached["sessionId"].as_str().unwrap_or_default().to_owned();
    Ok(Page { target, session })
}

/// Loads an address and waits for it; gives the events back.
async fn navigate(
    browser: &Browser,
    page: &Page,
    url: &str,
    mut events: mpsc::UnboundedReceiver<Value>,
) -> Result<mpsc::UnboundedReceiver<Value>, String> {
    let result = browser
        .call(Some(&page.session), "Page.navigate", json!({"url": url}))
        .await?;
    if let Some(error) = result["errorText"].as_str() {
        return Err(format!("{url} does not load: {error}"));
    }
    while let Some(event) = events.recv().await {
        if event["method"] == "Page.loadEventFired" {
            return Ok(events);
        }
    }
    Err("the browser is gone".to_owned())
}

/// Turns what the page reports into events of the session.
async fn listen(mut events: mpsc::UnboundedReceiver<Value>, log: Log) {
    while let Some(event) = events.recv().await {
        let params = &event["params"];
        match event["method"].as_str() {
            Some("Runtime.bindingCalled") => {
                let payload = params["payload"].as_str().unwrap_or_default();
                log.push(serde_json::from_str(payload).unwrap_or(Value::Null));
            }
            Some("Runtime.exceptionThrown") => {
                let details = &params["exceptionDetails"];
                let text = details["exception"]["description"]
                    .as_str()
                    .or(details["text"].as_str());
                log.push(json!({"event": "failure", "reason": format!("page: {}", text.unwrap_or("?"))}));
            }
            Some("Inspector.targetCrashed") => {
                log.push(json!({"event": "failure", "reason": "the page crashed"}));
            }
            _ => {}
        }
    }
}

/// Carries commands to the page, each in its own task: some take long.
async fn serve(browser: Arc<Browser>, session: String, mut requests: mpsc::UnboundedReceiver<Request>) {
    while let Some(Request { command, reply }) = requests.recv().await {
        let (browser, session) = (browser.clone(), session.clone());
        tokio::spawn(async move {
            let _ = reply.send(evaluate(&browser, &session, &format!("command({command})")).await);
        });
    }
}

/// Evaluates an expression in a page and waits for the promise it gives.
pub async fn evaluate(browser: &Browser, session: &str, expression: &str) -> Result<Value, String> {
    let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
    let result = browser.call(Some(session), "Runtime.evaluate", params).await?;
    let Some(exception) = result.get("exceptionDetails") else {
        return Ok(result["result"]["value"].clone());
    };
    let text = exception["exception"]["description"]
        .as_str()
        .or(exception["text"].as_str());
    Err(text
        .unwrap_or("an exception without a text")
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned())
}
