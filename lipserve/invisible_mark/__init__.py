"""An invisible mark: a number of 32 bits in the luma around a driven mouth, which encoding anew leaves there.

The skin around the mouth is divided into cells (`cells`). In each cell luma rises or falls by one to three
levels, and changes its sign every few frames as a code says (`code`). `draw` adds it to pictures; `read`
finds it in any video, with no knowledge of the source. It is a spread-spectrum watermark (Cox, Kilian,
Leighton and Shamoon: Secure spread spectrum watermarking for multimedia, 1997), in the coordinates of the
face.
"""
