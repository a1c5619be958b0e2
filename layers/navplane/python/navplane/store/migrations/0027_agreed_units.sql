-- Agreed prices for what is not counted in tokens: a second of sound, a character that is spoken, a picture. Without its rate, and without
-- a price per request, an agreed price says nothing about such a call: it must not make it cost nothing.

ALTER TABLE public.price_overrides ADD COLUMN audio_second_usd numeric(20, 15) CHECK (audio_second_usd >= 0);
ALTER TABLE public.price_overrides ADD COLUMN character_usd numeric(20, 15) CHECK (character_usd >= 0);
ALTER TABLE public.price_overrides ADD COLUMN image_usd numeric(20, 15) CHECK (image_usd >= 0);
