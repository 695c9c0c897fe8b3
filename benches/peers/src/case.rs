//! One case: a service, its request, and how it is measured.

use std::{
    fmt,
    future::Future,
    hint::black_box,
    iter,
    pin::pin,
    task::{Context, Poll, Waker},
};

use http::{Request, Response};
use tower::Service;

/// Takes a reading before and after a run of calls, such as of a clock or an allocator.
pub trait Gauge {
    fn start(&mut self);
    fn stop(&mut self);
}

/// Measures nothing.
#[derive(Debug)]
pub struct Idle;

impl Gauge for Idle {
    fn start(&mut self) {}
    fn stop(&mut self) {}
}

type Run = Box<dyn FnMut(usize, &mut dyn Gauge)>;

/// A service and its request. The type is erased once per run of calls.
pub struct Case {
    pub name: &'static str,
    run: Run,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).finish()
    }
}

impl Case {
    pub fn new<S, ReqBody, ResBody>(
        name: &'static str,
        mut service: S,
        make: impl Fn() -> Request<ReqBody> + 'static,
    ) -> Self
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + 'static,
        S::Error: fmt::Debug,
        ReqBody: 'static,
        ResBody: 'static,
    {
        let mut requests = Vec::new();
        let run = move |calls, gauge: &mut dyn Gauge| {
            requests.extend(iter::repeat_with(&make).take(calls));
            gauge.start();
            for request in requests.drain(..) {
                // Dropping the response is part of the measured cost.
                drop(black_box(call(&mut service, black_box(request))));
            }
            gauge.stop();
        };
        Self {
            name,
            run: Box::new(run),
        }
    }

    /// Makes this many calls in sequence, between the gauge's start and stop.
    pub fn run(&mut self, calls: usize, gauge: &mut dyn Gauge) {
        (self.run)(calls, gauge);
    }
}

/// One request through a service that responds at the first poll. Never inlined, so that
/// every service is called across the same boundary.
#[inline(never)]
fn call<S, ReqBody, ResBody>(service: &mut S, request: Request<ReqBody>) -> Response<ResBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: fmt::Debug,
{
    let mut cx = Context::from_waker(Waker::noop());
    match service.poll_ready(&mut cx) {
        Poll::Ready(ready) => ready.unwrap(),
        Poll::Pending => panic!("the service is always ready"),
    }
    let mut future = pin!(service.call(request));
    for _ in 0..1000 {
        if let Poll::Ready(response) = future.as_mut().poll(&mut cx) {
            return response.unwrap();
        }
    }
    panic!("the service needs a reactor")
}
