//! Reading back: these methods submit and wait, as their docs say.

use super::{Gpu, View};
use crate::Error;
use std::sync::mpsc;

impl Gpu {
    /// Submits a copy of a byte range (word-aligned) to the host and resolves when it is there.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], or [`Error::Device`] with the driver's words.
    pub async fn read_bytes(
        &self,
        buffer: &wgpu::Buffer,
        range: std::ops::Range<u64>,
    ) -> Result<Vec<u8>, Error> {
        let refuse = |message: String| Error::Device { op: "read", message };
        self.check_alive()?;
        let size = range.end - range.start;
        if size == 0 {
            return Ok(Vec::new());
        }
        let staging = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("gtca read-back"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.encoder();
        encoder.copy_buffer_to_buffer(buffer, range.start, &staging, 0, Some(size));
        let submission = self.submit(encoder)?;
        let (send, receive) = mpsc::channel();
        staging.slice(..).map_async(wgpu::MapMode::Read, move |result| {
            // The receiver only disappears when this call was dropped; nobody is left to tell.
            let _ = send.send(result);
        });
        self.wait(submission)?;
        let mapped = receive.recv().map_err(|error| self.lost_or(refuse(error.to_string())))?;
        mapped.map_err(|error| self.lost_or(refuse(error.to_string())))?;
        let bytes = staging.slice(..).get_mapped_range().map_err(|error| refuse(error.to_string()))?.to_vec();
        staging.unmap();
        Ok(bytes)
    }

    /// Waits until a submission has run.
    pub(crate) fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<(), Error> {
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
        let refuse = |error: wgpu::PollError| Error::Device { op: "wait", message: error.to_string() };
        self.device().poll(wait).map(|_| ()).map_err(|error| self.lost_or(refuse(error)))
    }

    /// A lost device explains a failure better than its symptom.
    fn lost_or(&self, symptom: Error) -> Error {
        self.check_alive().err().unwrap_or(symptom)
    }

    /// Submits a copy of a view of 32-bit elements and resolves to its elements, row after row without gaps.
    async fn read_words(&self, view: &View<'_>) -> Result<Vec<u32>, Error> {
        view.check("read", "view", view.dtype)?;
        let bytes = self.read_bytes(view.buffer, view.byte_range()).await?;
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes);
        let [samples, tokens, width] = view.shape.map(|n| n as usize);
        let starts = (0..samples).flat_map(|s| {
            (0..tokens).map(move |t| s * view.sample_stride as usize + t * view.row_stride as usize)
        });
        Ok(starts.flat_map(|start| words[start..start + width].iter().copied()).collect())
    }

    /// Submits a copy of an f32 view and resolves to its elements, row after row without gaps.
    ///
    /// # Errors
    /// As [`Gpu::read_bytes`]; also a view that is not f32 or leaves its buffer.
    pub async fn read_f32(&self, view: &View<'_>) -> Result<Vec<f32>, Error> {
        view.check("read", "view", super::Dtype::F32)?;
        Ok(self.read_words(view).await?.into_iter().map(f32::from_bits).collect())
    }

    /// Submits a copy of a u32 view and resolves to its elements, row after row without gaps.
    ///
    /// # Errors
    /// As [`Gpu::read_bytes`]; also a view that is not u32 or leaves its buffer.
    pub async fn read_u32(&self, view: &View<'_>) -> Result<Vec<u32>, Error> {
        view.check("read", "view", super::Dtype::U32)?;
        self.read_words(view).await
    }

    /// As [`Gpu::read_f32`], waiting.
    ///
    /// # Errors
    /// As [`Gpu::read_f32`].
    #[cfg(feature = "blocking")]
    pub fn read_f32_blocking(&self, view: &View<'_>) -> Result<Vec<f32>, Error> {
        pollster::block_on(self.read_f32(view))
    }

    /// As [`Gpu::read_u32`], waiting.
    ///
    /// # Errors
    /// As [`Gpu::read_u32`].
    #[cfg(feature = "blocking")]
    pub fn read_u32_blocking(&self, view: &View<'_>) -> Result<Vec<u32>, Error> {
        pollster::block_on(self.read_u32(view))
    }
}
