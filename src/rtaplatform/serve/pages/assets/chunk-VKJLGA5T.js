var c=/"(?:[^"\\]|\\.)*"|\{\s*\}|\[\s*\]|[{}[\],:]|[^\s{}[\],:"]+/g;function e(t){try{JSON.parse(t)}catch{return t}let n=0,s=()=>`
${"  ".repeat(Math.min(n,32))}`,i=r=>r==="{"||r==="["?(n+=1,r+s()):r==="}"||r==="]"?(n-=1,s()+r):r===","?`,${s()}`:r===":"?": ":r.startsWith('"')?r:r.replace(/\s/g,"");return(t.match(c)??[]).map(i).join("")}export{e as a};
