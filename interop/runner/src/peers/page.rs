//! A page in the browser as a session.

use super::browser::Browser;
use super::folder;
use crate::session::{Log, Request, Session};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
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
    let url = format!("file://{}", folder("browser").join("peer.html").display());
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

/// A tab with any page in it.
#[derive(Debug)]
pub struct Tab<'a> {
    browser: &'a Browser,
    page: Page,
}

impl<'a> Tab<'a> {
    /// Closes the page.
    pub async fn leave(self) {
        self.page.close(self.browser).await;
    }

    /// Opens an address.
    pub async fn open(browser: &'a Browser, url: &str) -> Result<Tab<'a>, String> {
        let page = blank(browser).await?;
        let events = browser.listen(&page.session);
        for method in ["Runtime.enable", "Page.enable"] {
            browser.call(Some(&page.session), method, json!({})).await?;
        }
        navigate(browser, &page, url, events).await?;
        browser.forget(&page.session);
        Ok(Tab { browser, page })
    }

    /// Gives the page this room.
    pub async fn resize(&self, width: u32, height: u32) -> Result<(), String> {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        let method = "Emulation.setDeviceMetricsOverride";
        self.browser
            .call(Some(&self.page.session), method, size)
            .await
            .map(drop)
    }

    /// Evaluates an expression.
    pub async fn evaluate(&self, expression: &str) -> Result<Value, String> {
        evaluate(self.browser, &self.page.session, expression).await
    }

    /// Waits until an expression is true.
    pub async fn until(&self, expression: &str, seconds: u64) -> Result<(), String> {
        let wait = async {
            while self.evaluate(expression).await? != true {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        };
        let done = tokio::time::timeout(Duration::from_secs(seconds), wait).await;
        done.unwrap_or_else(|_| Err(format!("not within {seconds} s: {expression}")))
    }

    /// The text of an element.
    pub async fn text(&self, id: &str) -> Result<String, String> {
        let text = self
            .evaluate(&format!("document.getElementById('{id}').textContent"))
            .await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Writes a picture of the page.
    pub async fn screenshot(&self, path: &Path) -> Result<PathBuf, String> {
        let parameters = json!({"format": "png", "captureBeyondViewport": true});
        let shot = self
            .browser
            .call(Some(&self.page.session), "Page.captureScreenshot", parameters)
            .await?;
        let data = shot["data"].as_str().unwrap_or_default();
        let png = base64(data).ok_or("the screenshot is not base64")?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        }
        std::fs::write(path, png).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path.to_path_buf())
    }
}

/// Decodes base64 (RFC 4648, section 4).
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_rfc_4648() {
        assert_eq!(base64("Zm9vYmE=").as_deref(), Some(&b"fooba"[..]));
        assert_eq!(base64("Zm9v\n"), None);
    }
}
