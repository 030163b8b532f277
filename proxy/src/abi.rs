//! Envoy's C ABI for dynamic modules, as of Envoy 1.40 (`source/extensions/dynamic_modules/abi/abi.h`): the
//! hooks that Envoy calls and the callbacks that they use. The only unsafe code of the project.
//!
//! Envoy guarantees for all of it: a stream belongs to one thread; buffers that it passes or returns stay
//! valid until the hook returns or the header is changed; a configuration is destroyed once, after the last
//! use of it. No hook unwinds into Envoy: a panic is caught and logged, and the request goes on.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use lookup::{Step, TABLE_HEADER};

use crate::walk::{Stream, walk};

/// What the hooks are written for. Envoy compares it with its own when it loads the module; of another one it
/// only warns, but it refuses a module that lacks a hook.
const ABI_VERSION: &CStr = c"v0.2.0";
/// Any pointer but null: neither the filter nor its configuration has a state.
const NOTHING: *const c_void = ptr::dangling::<usize>().cast();
/// `envoy_dynamic_module_type_http_header_type_RequestHeader`
const REQUEST_HEADER: u32 = 0;
/// `…_status_Continue` of all hooks.
const CONTINUE: u32 = 0;
/// `envoy_dynamic_module_type_log_level_Error`
const ERROR: u32 = 4;

/// `envoy_dynamic_module_type_{envoy,module}_buffer`
#[repr(C)]
#[derive(Clone, Copy)]
struct Buffer {
    bytes: *const u8,
    length: usize,
}

unsafe extern "C" {
    fn envoy_dynamic_module_callback_log(level: u32, message: Buffer);
    fn envoy_dynamic_module_callback_http_get_header(
        stream: *mut c_void,
        kind: u32,
        key: Buffer,
        value: *mut Buffer,
        index: usize,
        count: *mut usize,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_set_header(
        stream: *mut c_void,
        kind: u32,
        key: Buffer,
        value: Buffer,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_clear_route_cache(stream: *mut c_void);
    fn envoy_dynamic_module_callback_get_most_specific_route_config(stream: *mut c_void) -> *const c_void;
}

impl Buffer {
    fn of(bytes: &[u8]) -> Buffer {
        Buffer { bytes: bytes.as_ptr(), length: bytes.len() }
    }

    /// # Safety
    /// It is Envoy's, and what it points to lives as long as `'a`.
    unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.bytes.is_null() || self.length == 0 {
            return b"";
        }
        // SAFETY: as the caller says; Envoy's buffers are initialised bytes of this length.
        unsafe { std::slice::from_raw_parts(self.bytes, self.length) }
    }
}

/// A stream of Envoy, for as long as one hook runs.
struct EnvoyStream(*mut c_void);

impl EnvoyStream {
    fn header(&self, name: &str) -> &[u8] {
        let mut value = Buffer { bytes: ptr::null(), length: 0 };
        // SAFETY: the stream is the one that the running hook got; the key outlives the call, `value` may be
        // written to, and no count is asked for.
        unsafe {
            envoy_dynamic_module_callback_http_get_header(
                self.0,
                REQUEST_HEADER,
                Buffer::of(name.as_bytes()),
                &raw mut value,
                0,
                ptr::null_mut(),
            );
        }
        // SAFETY: Envoy's header value; the borrow of `self` ends before `enter` changes a header.
        unsafe { value.bytes() }
    }
}

impl Stream for EnvoyStream {
    fn authority(&self) -> &[u8] {
        self.header(":authority")
    }

    fn path(&self) -> &[u8] {
        self.header(":path")
    }

    fn step(&self) -> Option<&Step> {
        // SAFETY: the stream is the one that the running hook got.
        let config = unsafe { envoy_dynamic_module_callback_get_most_specific_route_config(self.0) };
        // SAFETY: null, or what `per_route_config_new` made of this filter's configuration on a route. Envoy
        // keeps it while the stream has that route, and `enter`, which changes the route, borrows mutably.
        unsafe { config.cast::<Step>().as_ref() }
    }

    fn enter(&mut self, table: &str) -> bool {
        // SAFETY: the stream is the one that the running hook got; Envoy copies key and value.
        unsafe {
            let (key, value) = (Buffer::of(TABLE_HEADER.as_bytes()), Buffer::of(table.as_bytes()));
            if !envoy_dynamic_module_callback_http_set_header(self.0, REQUEST_HEADER, key, value) {
                return false;
            }
            envoy_dynamic_module_callback_http_clear_route_cache(self.0);
        }
        true
    }
}

fn log(message: &str) {
    // SAFETY: Envoy copies the message.
    unsafe { envoy_dynamic_module_callback_log(ERROR, Buffer::of(message.as_bytes())) }
}

/// Runs a hook's own code; a bug in it costs a line in the log.
fn guarded<T>(otherwise: T, run: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        log("fleetgate: the proxy module panicked; the request goes on without it");
        otherwise
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    ABI_VERSION.as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    _envoy: *mut c_void,
    name: Buffer,
    _config: Buffer,
) -> *const c_void {
    guarded(ptr::null(), || {
        // SAFETY: Envoy's buffer, used within this hook.
        let name = unsafe { name.bytes() };
        if name == lookup::FILTER_NAME.as_bytes() {
            return NOTHING;
        }
        log(&format!("fleetgate: no filter is named {:?}", String::from_utf8_lossy(name)));
        ptr::null()
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(_config: *const c_void) {}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_new(
    _name: Buffer,
    config: Buffer,
) -> *const c_void {
    guarded(ptr::null(), || {
        // SAFETY: Envoy's buffer, used within this hook.
        match Step::parse(unsafe { config.bytes() }) {
            Ok(step) => Box::into_raw(Box::new(step)).cast_const().cast(),
            Err(error) => {
                log(&format!("fleetgate: {error}"));
                ptr::null()
            }
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(config: *const c_void) {
    if !config.is_null() {
        // SAFETY: made by `per_route_config_new`, and Envoy gives it back once.
        guarded((), || drop(unsafe { Box::from_raw(config.cast_mut().cast::<Step>()) }));
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_new(
    _config: *const c_void,
    _stream: *mut c_void,
) -> *const c_void {
    NOTHING
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_destroy(_filter: *const c_void) {}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    stream: *mut c_void,
    _filter: *const c_void,
    _end_of_stream: bool,
) -> u32 {
    guarded((), || walk(&mut EnvoyStream(stream)));
    CONTINUE
}

/// Hooks of a stream's further parts, which pass.
macro_rules! pass {
    ($($hook:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $hook(_stream: *mut c_void, _filter: *const c_void, _end_of_stream: bool) -> u32 {
            CONTINUE
        }
    )*};
}

pass! {
    envoy_dynamic_module_on_http_filter_request_body
    envoy_dynamic_module_on_http_filter_request_trailers
    envoy_dynamic_module_on_http_filter_response_headers
    envoy_dynamic_module_on_http_filter_response_body
    envoy_dynamic_module_on_http_filter_response_trailers
}

/// Hooks that Envoy looks for though nothing here makes it call them; what it would pass stays where the
/// caller put it.
macro_rules! ignore {
    ($($hook:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $hook() {}
    )*};
}

ignore! {
    envoy_dynamic_module_on_http_filter_stream_complete
    envoy_dynamic_module_on_http_filter_http_callout_done
    envoy_dynamic_module_on_http_filter_http_stream_headers
    envoy_dynamic_module_on_http_filter_http_stream_data
    envoy_dynamic_module_on_http_filter_http_stream_trailers
    envoy_dynamic_module_on_http_filter_http_stream_complete
    envoy_dynamic_module_on_http_filter_http_stream_reset
    envoy_dynamic_module_on_http_filter_scheduled
    envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark
    envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark
}
