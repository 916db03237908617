//! The functions with which scripts display HTML and images.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rhai::{Engine, EvalAltResult, FnPtr, INT, NativeCallContext};
use serde_json::{Value, json};

use super::console::Console;

/// The maximum width and height of an image.
const MAX_SIDE: u32 = 1024;

/// Adds `html("<b>…")` and `png(width, height, |x, y| 0xff8800)` to the language.
pub(super) fn register(engine: &mut Engine, console: &Rc<Console>) {
    let console_of_html = Rc::clone(console);
    engine.register_fn("html", move |html: &str| {
        let data = json!({"text/html": html, "text/plain": html});
        show(&console_of_html, &data);
    });
    let console = Rc::clone(console);
    engine.register_fn(
        "png",
        move |context: NativeCallContext<'_>, width: INT, height: INT, paint: FnPtr| {
            let (width, height) = (side(width)?, side(height)?);
            let mut pixels = Vec::new();
            for y in 0..height {
                for x in 0..width {
                    let position = (INT::from(x), INT::from(y));
                    let colour: INT = paint.call_within_context(&context, position)?;
                    let [.., red, green, blue] = colour.to_be_bytes();
                    pixels.extend([red, green, blue]);
                }
            }
            let file = encode(width, height, &pixels).map_err(|error| error.to_string())?;
            let data = json!({
                "image/png": STANDARD.encode(file),
                "text/plain": format!("<image of {width} × {height} pixels>"),
            });
            show(&console, &data);
            Ok::<_, Box<EvalAltResult>>(())
        },
    );
}

fn show(console: &Console, data: &Value) {
    let content = json!({"data": data, "metadata": {}, "transient": {}});
    console.publish("display_data", &content);
}

fn side(pixels: INT) -> Result<u32, Box<EvalAltResult>> {
    match u32::try_from(pixels) {
        Ok(side) if (1..=MAX_SIDE).contains(&side) => Ok(side),
        _ => Err(format!("an image has 1 to {MAX_SIDE} pixels a side, not {pixels}").into()),
    }
}

fn encode(width: u32, height: u32, pixels: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(file)
}
