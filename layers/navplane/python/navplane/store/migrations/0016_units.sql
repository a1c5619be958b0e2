-- What has no form in tokens: seconds of sound that was read, characters that were spoken, pictures that were made.

ALTER TABLE public.request_logs ADD COLUMN audio_seconds bigint NOT NULL DEFAULT 0;
ALTER TABLE public.request_logs ADD COLUMN characters bigint NOT NULL DEFAULT 0;
ALTER TABLE public.request_logs ADD COLUMN images bigint NOT NULL DEFAULT 0;
