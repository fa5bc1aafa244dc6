-- Credits for tokens at rates per 1,000, rounded up to whole credits. Tokens whose side is
-- unknown cost the dearer rate. Multiplication by .001 is exact in numeric, division is not.
CREATE FUNCTION price_credits(
    input_tokens bigint, output_tokens bigint, unsplit_tokens bigint,
    input_rate numeric, output_rate numeric
) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ceil(0.001 * (
        input_tokens * input_rate
        + output_tokens * output_rate
        + unsplit_tokens * greatest(input_rate, output_rate)
    ))::bigint
$$
