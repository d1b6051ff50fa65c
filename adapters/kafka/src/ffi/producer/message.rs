//! A message on its way into librdkafka.

use core::ptr::{self, NonNull};

use procession_runtime::port::Headers;
use rdkafka::bindings as sys;

use super::Failure;

/// A message to send.
pub(crate) struct Sending<'a> {
    pub(crate) partition: u32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) payload: &'a [u8],
    pub(crate) headers: &'a Headers,
    /// Comes back with the report.
    pub(crate) tag: usize,
}

impl Sending<'_> {
    /// Hands it over; it and its fields are copied.
    ///
    /// # Errors
    /// It was not taken, and will not be sent.
    ///
    /// # Safety
    /// A valid producer and a topic of it.
    pub(super) unsafe fn produce(
        &self,
        client: *mut sys::rd_kafka_t,
        topic: *mut sys::rd_kafka_topic_t,
    ) -> Result<(), Failure> {
        use sys::rd_kafka_vtype_t as vtype;

        let partition = i32::try_from(self.partition)
            .map_err(|_| Failure::local("the number of the partition is too large"))?;
        let mut headers = OwnedHeaders::new(self.headers)?;
        let arg = |vtype, u| sys::rd_kafka_vu_t { vtype, u };
        let memory = |bytes: &[u8]| sys::rd_kafka_vu_s__bindgen_ty_1 {
            mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
                ptr: bytes.as_ptr().cast_mut().cast(),
                size: bytes.len(),
            },
        };
        let args = [
            arg(
                vtype::RD_KAFKA_VTYPE_RKT,
                sys::rd_kafka_vu_s__bindgen_ty_1 { rkt: topic },
            ),
            arg(
                vtype::RD_KAFKA_VTYPE_PARTITION,
                sys::rd_kafka_vu_s__bindgen_ty_1 { i32_: partition },
            ),
            arg(
                vtype::RD_KAFKA_VTYPE_MSGFLAGS,
                sys::rd_kafka_vu_s__bindgen_ty_1 {
                    i: sys::RD_KAFKA_MSG_F_COPY,
                },
            ),
            arg(
                vtype::RD_KAFKA_VTYPE_OPAQUE,
                sys::rd_kafka_vu_s__bindgen_ty_1 {
                    ptr: ptr::without_provenance_mut(self.tag),
                },
            ),
            arg(
                vtype::RD_KAFKA_VTYPE_HEADERS,
                sys::rd_kafka_vu_s__bindgen_ty_1 {
                    headers: headers.as_ptr(),
                },
            ),
            // Never null, also when it is empty: null would be a tombstone.
            arg(vtype::RD_KAFKA_VTYPE_VALUE, memory(self.payload)),
            // Last, so that it can be left out.
            arg(
                vtype::RD_KAFKA_VTYPE_KEY,
                memory(self.key.unwrap_or_default()),
            ),
        ];
        let count = args.len() - usize::from(self.key.is_none());
        // SAFETY: client and topic are, as the caller promised, valid, and so are the header fields. Payload and key are read during the
        // call only (`F_COPY`; keys always are). The tag is never followed as a pointer.
        let error = unsafe { sys::rd_kafka_produceva(client, args.as_ptr(), count) };
        match NonNull::new(error) {
            None => {
                headers.given_away();
                Ok(())
            }
            // SAFETY: the error is ours to read and to destroy.
            Some(error) => Err(unsafe {
                let failure = Failure::of_error(error.as_ptr());
                sys::rd_kafka_error_destroy(error.as_ptr());
                failure
            }),
        }
    }
}

/// Header fields that were not handed over.
struct OwnedHeaders(Option<NonNull<sys::rd_kafka_headers_t>>);

impl OwnedHeaders {
    fn new(fields: &Headers) -> Result<Self, Failure> {
        // SAFETY: no condition.
        let headers = NonNull::new(unsafe { sys::rd_kafka_headers_new(fields.len()) });
        let this = Self(headers);
        let length = |bytes: &[u8]| {
            isize::try_from(bytes.len()).map_err(|_| Failure::local("a field is too long"))
        };
        for (name, value) in fields.iter_bytes() {
            // SAFETY: name and value are read during the call only, by their lengths.
            unsafe {
                sys::rd_kafka_header_add(
                    this.as_ptr(),
                    name.as_ptr().cast(),
                    length(name)?,
                    value.as_ptr().cast(),
                    length(value)?,
                );
            }
        }
        Ok(this)
    }

    fn as_ptr(&self) -> *mut sys::rd_kafka_headers_t {
        self.0.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    const fn given_away(&mut self) {
        self.0 = None;
    }
}

impl Drop for OwnedHeaders {
    fn drop(&mut self) {
        if let Some(headers) = self.0 {
            // SAFETY: still ours.
            unsafe { sys::rd_kafka_headers_destroy(headers.as_ptr()) };
        }
    }
}
